//! Parts of a set come back beside what is there.

use crate::setup::Platform;

fn restored_schema(platform: &Platform) -> String {
    let schema = "select nspname from pg_namespace where nspname like 'restored\\_%' order by 1 desc limit 1";
    platform.ask("trading_db", schema)
}

#[test]
fn single_tables_come_back_in_a_schema_beside_the_live_ones() {
    let platform = Platform::new();
    platform.create(&["--no-drill"]);
    let digest = |table: &str| {
        let sql = format!(
            "select count(*) || md5(string_agg(t::text, '|' order by t::text)) from {table} t"
        );
        platform.ask("trading_db", &sql)
    };
    let (orders, odd, chunks) = (
        digest("app.orders"),
        digest("app.\"Odd Name\""),
        digest("public.chunks"),
    );
    platform.sql(
        "trading_db",
        "delete from app.orders where id > 100; delete from public.chunks; \
         insert into app.orders(who) values ('later');",
    );
    let live = platform.content("trading_db");
    let key = platform.key_argument();
    let restore = |tables: &[&str]| {
        let command = ["restore", "table", "trading_db", "--identity", &key];
        platform.ops(&[&command[..], tables].concat())
    };
    restore(&["app.orders", "Odd Name", "public.chunks"]).ok();
    let schema = restored_schema(&platform);
    assert_eq!(digest(&format!("{schema}.orders")), orders);
    assert_eq!(digest(&format!("{schema}.\"Odd Name\"")), odd);
    assert_eq!(digest(&format!("{schema}.chunks")), chunks);
    // The live ones are as they were, and nothing ties the two together.
    let now = platform.content("trading_db");
    for line in live.lines() {
        assert!(now.contains(line), "{line} in {now}");
    }
    let next = format!("insert into {schema}.orders(who) values ('x') returning id");
    let ties = format!(
        "select count(*) from pg_constraint where contype = 'f' and connamespace = '{schema}'::regnamespace"
    );
    assert_eq!(platform.ask("trading_db", &ties), "0");
    assert_eq!(
        platform.ask("trading_db", &next),
        "2001",
        "its own sequence"
    );
    let half = "select count(*) from pg_database where datname like '%restore%'";
    assert_eq!(platform.ask("postgres", half), "0");
    let absent = restore(&["orderz"]);
    assert_eq!(absent.code, 10, "{}", absent.all());
    assert!(absent.err.contains("app.orders"), "{}", absent.err);
}

/// T27: what is missing is made; a role or grant that lives is another matter, and asked for by name.
#[test]
fn t27_globals_come_back_by_name_and_a_live_password_is_left_alone() {
    let platform = Platform::new();
    platform.sql(
        "postgres",
        "alter role reader login password 'of-the-set-000';",
    );
    platform.create(&["--no-drill"]);
    platform.sql(
        "postgres",
        "alter role reader password 'of-now-11111111'; create role later; \
         revoke connect on database trading_db from reader; \
         alter database trading_db set statement_timeout to '5s';",
    );
    let verifier = "select rolpassword from pg_authid where rolname = 'reader'";
    let now = platform.ask("postgres", verifier);
    let key = platform.key_argument();
    let copy = [
        "restore",
        "database",
        "trading_db",
        "--as",
        "copy",
        "--identity",
        &key,
    ];
    platform.ops(&copy).ok();
    assert_eq!(
        platform.ask("postgres", verifier),
        now,
        "a restore reset a live password"
    );

    let globals = ["restore", "globals", "--identity", &key];
    let run = platform.ops(&[&globals[..], &["--json"]].concat()).ok();
    let notes = run.json()["notes"].to_string();
    assert!(
        notes.contains("--role reader") && notes.contains("--database trading_db"),
        "{notes}"
    );
    assert_eq!(platform.ask("postgres", verifier), now);
    let named = [
        &globals[..],
        &["--role", "reader", "--database", "trading_db"],
    ]
    .concat();
    let refused = platform.ops(&named);
    assert_eq!(refused.code, 4, "{}", refused.all());
    platform.ops(&[&named[..], &["--yes"]].concat()).ok();
    assert_ne!(platform.ask("postgres", verifier), now);
    let may = "select has_database_privilege('reader', 'trading_db', 'connect')";
    assert_eq!(platform.ask("postgres", may), "t");
    assert_eq!(platform.ask("trading_db", "show statement_timeout"), "1min");
    let later = "select count(*) from pg_roles where rolname = 'later'";
    assert_eq!(platform.ask("postgres", later), "1");
    let absent = platform.ops(&[&globals[..], &["--role", "nobody", "--yes"]].concat());
    assert_eq!(absent.code, 10, "{}", absent.all());
}

#[test]
fn a_folder_comes_back_beside_itself_or_where_it_is_gone() {
    use std::os::unix::fs::PermissionsExt as _;
    let platform = Platform::new();
    let root = platform.host.root();
    let script = root.join("config/own/run.sh");
    std::fs::create_dir_all(script.parent().unwrap()).unwrap();
    std::fs::write(&script, "then").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o750)).unwrap();
    std::os::unix::fs::chown(&script, Some(1001), Some(1001)).unwrap();
    std::os::unix::fs::symlink("own/run.sh", root.join("config/link")).unwrap();
    platform.create(&["--no-drill"]);
    std::fs::write(&script, "now!").unwrap();
    std::fs::write(root.join("config/later"), "").unwrap();
    std::fs::remove_file(root.join("config/link")).unwrap();

    let key = platform.key_argument();
    let restore = ["restore", "folder", "config", "--identity", &key];
    let run = platform.ops(&restore).ok();
    for line in [
        "differs: own/run.sh",
        "only now: later",
        "only in the set: link",
        "3 differences",
    ] {
        assert!(run.err.contains(line), "{line} in {}", run.err);
    }
    assert_eq!(std::fs::read(&script).unwrap(), b"now!");
    let beside = std::fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let beside = beside
        .filter(|path| path.to_str().unwrap().contains("config__restored_"))
        .collect::<Vec<_>>();
    let [beside] = &beside[..] else {
        panic!("{beside:?}");
    };
    let restored = beside.join("own/run.sh");
    assert_eq!(std::fs::read(&restored).unwrap(), b"then");
    assert_eq!(crate::host::access(&restored), (0o750, 1001));
    assert_eq!(
        std::fs::read_link(beside.join("link")).unwrap().to_str(),
        Some("own/run.sh")
    );

    // The other folder, where nothing is in its place.
    std::fs::remove_dir_all(root.join("apps")).unwrap();
    platform
        .ops(&["restore", "folder", "apps", "--identity", &key])
        .ok();
    assert!(root.join("apps/platform/compose.yaml").exists());
    let to = beside.to_str().unwrap();
    let taken = platform.ops(&[&restore[..], &["--to", to]].concat());
    assert_eq!(taken.code, 4, "{}", taken.all());
}
