//! A database made anew, compared with the manual's own steps, and brought back.

use std::process::{Command, Stdio};

use crate::host::POSTGRES_IMAGE;
use crate::setup::{Platform, SCHEMA, VERSION, Way};

/// Everything that one database is: objects, their shape, owners and privileges.
const CATALOGUE: &str = "
select format('%s %s owner %s', c.relkind, c.relname, pg_get_userbyid(c.relowner)) from pg_class c where relnamespace = 'public'::regnamespace
union all select format('%s %s: %s %s %s', c.relkind, c.relname, a.privilege_type, a.grantee::regrole, a.is_grantable) from pg_class c,
  aclexplode(coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's'::\"char\" else 'r'::\"char\" end, c.relowner))) a
  where relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'S')
union all select format('column %s.%s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull) from pg_class c
  join pg_attribute a on a.attrelid = c.oid where relnamespace = 'public'::regnamespace and a.attnum > 0
union all select format('constraint %s', pg_get_constraintdef(oid)) from pg_constraint where connamespace = 'public'::regnamespace
union all select format('index %s', indexdef) from pg_indexes where schemaname = 'public'
union all select format('type %s owner %s', typname, typowner::regrole) from pg_type where typname = 'side'
union all select format('function %s owner %s', proname, proowner::regrole) from pg_proc where proname = 'double'
union all select format('schema: %s %s', a.privilege_type, coalesce(nullif(a.grantee, 0)::regrole::text, 'public')) from pg_namespace, aclexplode(nspacl) a where nspname = 'public'
union all select format('database: %s %s', a.privilege_type, coalesce(nullif(a.grantee, 0)::regrole::text, 'public')) from pg_database, aclexplode(datacl) a where datname = current_database()
union all select format('database owner %s', datdba::regrole) from pg_database where datname = current_database()
union all select format('row %s', o) from orders o
union all select format('extension %s', extname) from pg_extension
order by 1";

/// The manual's section 3.2, word for word but for the names of containers.
fn by_the_manual(platform: &Platform) {
    let admin = |database: &str, sql: &str| {
        platform.psql(&["-d", database, "-c", sql], "").ok();
    };
    admin("postgres", "DROP DATABASE trading_db WITH (FORCE);");
    admin("postgres", "CREATE DATABASE trading_db;");
    admin(
        "postgres",
        "GRANT ALL PRIVILEGES ON DATABASE trading_db TO trading_app_user;",
    );
    admin(
        "trading_db",
        "GRANT ALL ON SCHEMA public TO trading_app_user;",
    );
    let schema = platform.host.read("apps/trading-app/init.sql");
    platform
        .psql(&["-d", "trading_db", "-f", "-"], &schema)
        .ok();
    admin(
        "trading_db",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO trading_app_user;",
    );
    admin(
        "trading_db",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO trading_app_user;",
    );
    platform
        .ops(&[
            "app",
            "run",
            "trading-app",
            "migrator",
            "alembic",
            "upgrade",
            "head",
        ])
        .ok();
}

#[test]
fn a_fresh_install_is_the_manuals_and_what_the_manual_forgot() {
    let platform = Platform::new(Way::Direct);
    platform.schema(&format!("{SCHEMA}{VERSION}"));
    by_the_manual(&platform);
    let manual = platform
        .ask("trading_db", CATALOGUE)
        .replace("platform_admin", "trading_owner");
    // Fact: what is made later is closed to the application, and it can change nothing.
    let closed = "create table later (n int); set role trading_app_user; select * from later";
    assert!(
        platform
            .psql(&["-v", "ON_ERROR_STOP=1", "-d", "trading_db"], closed)
            .err
            .contains("permission denied")
    );
    platform.sql("trading_db", "drop table later");
    let marker = "create table marker (n int); insert into marker values (7)";
    platform.sql("trading_db", marker);

    let plan = platform
        .ops(&["db", "fresh-install", "trading_db", "--dry-run"])
        .ok();
    assert!(
        plan.out.contains("in one transaction (11 statements)"),
        "{}",
        plan.all()
    );
    assert!(platform.is_old("trading_db"));
    let unasked = platform.ops(&["db", "fresh-install", "trading_db"]);
    assert!(
        unasked.code == 4 && unasked.err.contains("--confirm trading_db"),
        "{}",
        unasked.all()
    );
    platform.install(&[]).ok();

    let ours = platform.ask("trading_db", CATALOGUE);
    let mut expected: Vec<&str> = manual.lines().collect();
    // Nobody else may connect.
    expected.retain(|line| *line != "database: CONNECT public");
    // The names that were exchanged sort elsewhere.
    expected.sort_unstable();
    let mut ours: Vec<&str> = ours.lines().collect();
    ours.sort_unstable();
    assert_eq!(ours, expected);
    covers_what_the_manual_forgot(&platform);
    the_old_one_is_kept_shown_and_freed(&platform);
}

fn covers_what_the_manual_forgot(platform: &Platform) {
    platform.sql(
        "trading_db",
        "create table later (n int); create sequence later_seq",
    );
    platform.sql(
        "trading_db",
        "set role trading_owner; create table also_later (n int)",
    );
    let used = "insert into later values (1); insert into also_later values (1); select setval('later_seq', 5), setval('tickets', 7)";
    assert_eq!(platform.application_asks(used), "5|7");
    // Its own migrator may change what the script made.
    platform.migration("0003", "'0002'", "ALTER TABLE orders ADD third int");
    let plan = platform
        .ops(&["db", "migrate", "trading_db", "--dry-run"])
        .ok();
    assert!(plan.out.contains("trading_db is at 0002"), "{}", plan.all());
    let done = platform.ops(&["db", "migrate", "trading_db", "--yes"]).ok();
    assert!(done.err.contains("trading_db is at 0003"), "{}", done.all());
    assert_eq!(
        platform.application_asks("select count(third), current_user from orders"),
        "0|trading_owner"
    );
    let owner = "select rolcanlogin from pg_roles where rolname = 'trading_owner'";
    assert_eq!(platform.ask("postgres", owner), "f");
    platform.sql("postgres", "create role stranger");
    assert_eq!(
        platform.ask(
            "postgres",
            "select has_database_privilege('stranger', 'trading_db', 'connect')"
        ),
        "f"
    );
}

fn the_old_one_is_kept_shown_and_freed(platform: &Platform) {
    let kept = platform.databases("__before_");
    let [kept] = &kept[..] else {
        panic!("{kept:?}")
    };
    let free = format!("platform-ops db drop {kept}");
    for command in ["status", "db"] {
        let arguments: &[&str] = if command == "db" {
            &["db", "list"]
        } else {
            &["status"]
        };
        let seen = platform.ops(arguments);
        assert!(seen.out.contains(&free), "{}", seen.all());
    }
    platform.undo().ok();
    assert!(platform.is_old("trading_db"));
    assert!(platform.databases("__before_").is_empty());
    let undone = platform.databases("__undone_");
    let [undone] = &undone[..] else {
        panic!("{undone:?}")
    };
    let refused = platform.ops(&["db", "drop", undone]);
    assert_eq!(refused.code, 4, "{}", refused.all());
    platform
        .ops(&["db", "drop", undone, "--confirm", undone])
        .ok();
    let again = platform.undo();
    assert_eq!(again.code, 10, "{}", again.all());
}

/// T34, T52, and the fact that DROP behind a pooler cuts clients off: under load not one of them
/// fails, with statements that were prepared in the old database either.
#[test]
fn t34_t52_clients_of_the_pooler_wait_and_none_fails() {
    let platform = Platform::new(Way::Pooler);
    platform.install(&[]).ok();
    let script = format!(
        "echo 'select count(*) from orders;' > /tmp/s && exec pgbench -n -M prepared -f /tmp/s -c 4 -j 1 -T 20 -h {} -p 6432 -U trading_app_user trading_db",
        platform.host.container("pgbouncer")
    );
    let password = format!(
        "PGPASSWORD={}",
        platform.host.env("TRADING_APP_DB_PASSWORD")
    );
    let name = format!("{}-load", platform.host.prefix);
    let load = Command::new("docker")
        .args([
            "run",
            "--rm",
            "--network",
            &platform.host.network(),
            "--env",
            &password,
            "--name",
            &name,
        ])
        .args(["--entrypoint", "bash", POSTGRES_IMAGE, "-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let limit = std::time::Duration::from_secs(60);
    let sessions = "select count(*) from pg_stat_activity where datname = 'trading_db'";
    fixtures::wait::until("the load", limit, || {
        Ok((platform.ask("postgres", sessions) != "0").then_some(()))
    })
    .unwrap();
    let installed = platform.install(&[]).ok();
    // The migrator comes through the paused pooler, and is let in.
    assert!(
        installed.err.contains("goes through the pooler"),
        "{}",
        installed.all()
    );
    assert!(
        installed
            .err
            .contains("trading_db is tables without a revision"),
        "{}",
        installed.all()
    );
    platform.undo().ok();
    let load: crate::host::Run = load.wait_with_output().unwrap().into();
    let load = load.ok();
    assert!(
        load.out.contains("number of failed transactions: 0"),
        "{}",
        load.all()
    );
    assert!(!load.err.contains("aborted"), "{}", load.all());
    assert_eq!(
        platform.ask("trading_db", "select version_num from alembic_version"),
        "0002"
    );
}

/// A script that fails changes nothing; one that holds its own transactions is told, and fails whole.
#[test]
fn a_schema_that_fails_leaves_the_old_database_in_its_place() {
    let platform = Platform::new(Way::Direct);
    platform.schema(&format!("{SCHEMA}\nCREATE TABLE broken (n nonsense);\n"));
    let failed = platform.install(&[]);
    assert_eq!(failed.code, 1, "{}", failed.all());
    assert!(
        failed
            .err
            .contains("<stdin>:11: ERROR:  type \"nonsense\" does not exist"),
        "{}",
        failed.all()
    );
    assert!(
        failed.err.contains("trading_db is as it was"),
        "{}",
        failed.all()
    );
    assert_untouched(&platform);

    let apart = "BEGIN;\nCREATE TABLE orders (id int);\nCOMMIT;\nCREATE INDEX CONCURRENTLY i ON orders (id);\nSELECT 1/0;\n";
    platform.schema(apart);
    let plan = platform
        .ops(&["db", "fresh-install", "trading_db", "--dry-run"])
        .ok();
    for line in [
        "line 1: BEGIN",
        "line 3: COMMIT",
        "line 4: CREATE INDEX … CONCURRENTLY",
    ] {
        assert!(plan.out.contains(line), "{line}: {}", plan.all());
    }
    let failed = platform.install(&[]);
    assert!(failed.err.contains("division by zero"), "{}", failed.all());
    assert_untouched(&platform);
    platform.schema(apart.replace("/0", "").as_str());
    platform.install(&[]).ok();
    assert_eq!(
        platform.application_asks("select count(*) from orders"),
        "0"
    );
    platform.undo().ok();

    // A migration that fails, too.
    platform.migration("0003", "'0002'", "ALTER TABLE nowhere ADD n int");
    platform.schema(&format!("{SCHEMA}{VERSION}"));
    let failed = platform.install(&[]);
    assert!(
        failed
            .err
            .contains("relation \\\"nowhere\\\" does not exist")
            || failed.err.contains("\"nowhere\" does not exist"),
        "{}",
        failed.all()
    );
    assert_untouched(&platform);

    platform.schema("\\connect other_db\n");
    let refused = platform.install(&[]);
    assert!(
        refused.code == 4 && refused.err.contains("line 1"),
        "{}",
        refused.all()
    );
}

#[track_caller]
fn assert_untouched(platform: &Platform) {
    assert!(platform.is_old("trading_db"));
    assert!(!platform.is_paused());
    assert!(platform.databases("__fresh_").is_empty());
    assert_eq!(
        platform.ask(
            "postgres",
            "select datallowconn, datconnlimit from pg_database where datname = 'trading_db'"
        ),
        "t|-1"
    );
}

/// T30: an extension that the image lacks is said before anything is done.
#[test]
fn t30_an_extension_that_is_missing_is_refused_first() {
    let platform = Platform::new(Way::Direct);
    platform.schema("CREATE EXTENSION postgis;");
    let refused = platform.install(&[]);
    assert!(
        refused.code == 4 && refused.err.contains("postgis"),
        "{}",
        refused.all()
    );
    assert_untouched(&platform);
    // Without a schema the migrator makes everything, in a database that was not there.
    platform.sql("postgres", "drop database trading_db");
    platform
        .ops(&["db", "fresh-install", "trading_db", "--no-init"])
        .ok();
    assert_eq!(
        platform.ask("trading_db", "select version_num from alembic_version"),
        "0002"
    );
    assert_eq!(
        platform.ask(
            "trading_db",
            "select tableowner from pg_tables where tablename = 'orders'"
        ),
        "trading_owner"
    );
    assert!(platform.databases("\\_\\_").is_empty());
}
