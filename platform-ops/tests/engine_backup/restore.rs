//! A database comes back as it was, and the live one stays beside it.

use crate::setup::Platform;

/// T26, T27, T28, T34.
#[test]
fn a_database_comes_back_as_it_was_and_a_restore_can_be_undone() {
    let platform = Platform::with_stack();
    platform.create(&["--no-drill"]);
    let before = platform.content("trading_db");
    platform.sql(
        "trading_db",
        "delete from app.orders where id > 100; insert into public.chunks values (9999, null);",
    );
    let after = platform.content("trading_db");
    assert_ne!(before, after);
    let key = platform.key_argument();
    let restore = ["restore", "database", "trading_db", "--identity", &key];
    let refused = platform.ops(&restore);
    assert_eq!(refused.code, 4, "{}", refused.all());
    let plan = platform
        .ops(&[&restore[..], &["--dry-run", "--json"]].concat())
        .ok()
        .json();
    let notes = plan["notes"].to_string();
    assert!(notes.contains("discarded"), "{notes}");

    let done = platform
        .ops(&[&restore[..], &["--confirm", "trading_db", "--json"]].concat())
        .ok();
    assert_eq!(platform.content("trading_db"), before);
    belongs_as_before(&platform);
    let done = done.json();
    let steps = done["steps"].as_array().unwrap();
    let kept = steps.last().unwrap()["action"]["kept"]
        .as_str()
        .unwrap()
        .to_owned();
    let refused = platform.host.psql(&kept, "select 1");
    assert!(
        refused.err.contains("not currently accepting connections"),
        "{}",
        refused.all()
    );

    let undo = [
        "restore",
        "undo",
        "trading_db",
        "--kept",
        &kept,
        "--confirm",
        "trading_db",
    ];
    platform.ops(&undo).ok();
    assert_eq!(platform.content("trading_db"), after);
    let again = platform.ops(&undo);
    assert_eq!(again.code, 10, "{}", again.all());
}

fn belongs_as_before(platform: &Platform) {
    let database = "select pg_get_userbyid(datdba) || ' ' || has_database_privilege('reader', oid, 'connect') \
        from pg_database where datname = 'trading_db'";
    assert_eq!(platform.ask("postgres", database), "trading_app_user true");
    assert_eq!(
        platform.ask("trading_db", "show search_path"),
        "app, public"
    );
    assert_eq!(platform.ask("trading_db", "show statement_timeout"), "1min");
    let table = "select has_table_privilege('reader', 'public.chunks', 'select')";
    assert_eq!(platform.ask("trading_db", table), "t");
    let in_database = "select setconfig from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase \
        join pg_roles r on r.oid = s.setrole where r.rolname = 'reader' and d.datname = 'trading_db'";
    assert_eq!(platform.ask("postgres", in_database), "{work_mem=8MB}");
    let next = platform.ask("trading_db", "select nextval('app.orders_id_seq')");
    assert_eq!(next, "2001");
}

/// T21: `trading_db_test` is another database, whatever its name begins with. A copy leaves the live
/// one alone and needs no confirmation.
#[test]
fn t21_a_copy_stands_beside_the_live_database() {
    let platform = Platform::new();
    platform.create(&["--no-drill"]);
    let key = platform.key_argument();
    let copy = [
        "restore",
        "database",
        "trading_db",
        "--identity",
        &key,
        "--as",
        "copy",
    ];
    platform.ops(&copy).ok();
    assert_eq!(platform.content("copy"), platform.content("trading_db"));
    let again = platform.ops(&copy);
    assert_eq!(again.code, 4, "{}", again.all());
    let absent = [
        "restore",
        "database",
        "trading",
        "--identity",
        &key,
        "--as",
        "x",
    ];
    let absent = platform.ops(&absent);
    assert_eq!(absent.code, 10, "{}", absent.all());
    assert!(absent.err.contains("trading_db_test"), "{}", absent.err);
}

/// T27: on an empty server the set's roles come first.
#[test]
fn t27_a_database_that_is_gone_with_its_roles_comes_back() {
    let platform = Platform::new();
    platform.create(&["--no-drill"]);
    let before = platform.content("trading_db");
    platform.sql("postgres", "drop database trading_db; drop role reader;");
    let key = platform.key_argument();
    platform
        .ops(&["restore", "database", "trading_db", "--identity", &key])
        .ok();
    assert_eq!(platform.content("trading_db"), before);
    belongs_as_before(&platform);
}

#[test]
fn a_wrong_key_is_told_from_damage() {
    let platform = Platform::new();
    platform.create(&["--no-drill"]);
    use age::secrecy::ExposeSecret;
    let other = age::x25519::Identity::generate().to_string();
    std::fs::write(platform.key(), other.expose_secret()).unwrap();
    let key = platform.key_argument();
    let run = platform.ops(&[
        "restore",
        "database",
        "trading_db",
        "--identity",
        &key,
        "--as",
        "x",
    ]);
    assert_eq!(run.code, 12, "{}", run.all());
    assert!(run.err.contains("cannot be opened"), "{}", run.err);
    let run = platform.ops(&["restore", "database", "trading_db", "--as", "x"]);
    assert_eq!(run.code, 2, "{}", run.all());
}
