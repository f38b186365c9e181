//! An application from nothing to a client; a database by itself.

use crate::host::Host;
use crate::host::{Run, signal_after};
use crate::setup::Platform;

#[test]
fn an_application_is_added_in_one_plan_and_connects_through_the_pooler() {
    let platform = Platform {
        host: Host::running(),
    };
    let dry = platform
        .ops(&["app", "add", "librarian", "--dry-run", "--json"])
        .ok();
    assert_eq!(
        dry.json()["steps"].as_array().unwrap().len(),
        6,
        "{}",
        dry.all()
    );
    assert!(
        !platform
            .host
            .read("config/platform.env")
            .contains("LIBRARIAN")
    );
    let added = platform.ops(&["app", "add", "librarian"]).ok();
    let password = platform.host.env("LIBRARIAN_DB_PASSWORD");
    let sql = "create table books (v vector(3)); insert into books values ('[1,2,3]'); select v <-> '[1,2,4]', current_user, session_user from books";
    let asked = platform
        .client(
            "librarian_user",
            "LIBRARIAN_DB_PASSWORD",
            "librarian_db",
            sql,
        )
        .ok();
    assert_eq!(asked.out.trim(), "1|librarian_owner|librarian_user");
    let again = platform.ops(&["app", "add", "librarian"]).ok();
    assert!(
        again.out.contains("0 containers recreated"),
        "{}",
        again.all()
    );
    assert_eq!(platform.host.env("LIBRARIAN_DB_PASSWORD"), password);
    let seen = added.all()
        + &again.all()
        + &platform.host.read("data/platform-ops/audit.jsonl")
        + &crate::host::docker(&["logs", &platform.host.container("postgres")]).all();
    assert!(!seen.contains(&password));
    // A role that someone made by hand has a password that nobody here knows.
    platform.sql(
        "postgres",
        "create role ledger_user login password 'unknown-to-us'",
    );
    let refused = platform.ops(&["app", "add", "ledger"]);
    assert!(
        refused.code == 4 && refused.err.contains("ledger_user"),
        "{}",
        refused.all()
    );
    killed_anywhere(&platform);
    a_database_by_itself(&platform);
}

fn killed_anywhere(platform: &Platform) {
    for step in 1..=5 {
        let name = format!("app{step}");
        signal_after(&platform.host, step, "KILL", || {
            platform.host.spawn(&["app", "add", &name])
        });
        platform.ops(&["app", "add", &name]).ok();
        let sql = "create table t (); select has_schema_privilege('public', 'create')";
        let (user, key) = (format!("app{step}_user"), format!("APP{step}_DB_PASSWORD"));
        let asked = platform
            .client(&user, &key, &format!("app{step}_db"), sql)
            .ok();
        assert_eq!(asked.out.trim(), "t", "step {step}");
    }
}

fn a_database_by_itself(platform: &Platform) {
    platform
        .ops(&["db", "create", "shared", "--role", "librarian_user"])
        .ok();
    let asked = platform
        .client(
            "librarian_user",
            "LIBRARIAN_DB_PASSWORD",
            "shared",
            "create table t (v vector(2)); select current_user",
        )
        .ok();
    assert_eq!(asked.out.trim(), "shared_owner");
    let again = platform.ops(&["db", "create", "shared"]);
    assert_eq!(again.code, 4, "{}", again.all());
    let reserved = platform.ops(&["db", "create", "postgres"]);
    assert_eq!(reserved.code, 2, "{}", reserved.all());
    let listed = platform.ops(&["db", "list", "--json"]).ok().json();
    let databases = listed["databases"].as_array().unwrap();
    let librarian = databases
        .iter()
        .find(|row| row["name"] == "librarian_db")
        .unwrap();
    assert_eq!(librarian["roles"][0], "librarian_user");
    assert_eq!(librarian["owner"], "librarian_owner");

    let feed = |text: &str| -> Run {
        let mut command = platform.host.command(&["db", "psql", "shared"]);
        Run::fed(&mut command, text)
    };
    assert!(
        feed("\\pset tuples_only\nselect 6 * 7;\n")
            .ok()
            .out
            .contains("42")
    );
    assert_eq!(feed("select 1/0;\nselect 1;\n").code, 3);
}
