//! A role of PostgreSQL, and PgBouncer's console.

use crate::host::{Host, access, docker};
use crate::setup::{
    KEY, ROLE, application, ask, doors, load, none_failed, trading, variable, wait_for_load, waited,
};

/// T47: PAUSE keeps clients from a login that fails. T48, T49: they log in with what userlist.txt
/// has in plain text. T53: the folder is mounted, so PgBouncer reads the file that replaced it.
#[test]
fn t47_t48_t49_t53_no_transaction_fails_while_a_role_gets_a_new_password() {
    let host = trading();
    let environment = format!("{{PGUSER: {ROLE}, PGPASSWORD: \"${{{KEY}}}\"}}");
    let pgbouncer = host.container("pgbouncer");
    application(
        &host,
        &environment,
        "sleep 600",
        &format!("psql -XAtqc \"select 1\" -h {pgbouncer} -p 6432 trading_db"),
    );
    let plan = host
        .ops(&["secrets", "rotate", ROLE, "--dry-run", "--json"])
        .ok()
        .json();
    let old = host.env(KEY);
    assert_eq!(
        doors(&host, ROLE, &old),
        [true, true],
        "a dry run changed something"
    );
    assert_eq!(
        host.ops(&["secrets", "rotate", ROLE]).code,
        4,
        "it asks first"
    );
    let before = host.ids();
    let load = load(&host);
    wait_for_load(&host);
    let run = host.ops(&["secrets", "rotate", ROLE, "--yes"]).ok();
    let mut waits = vec![waited(&run)];
    assert!(
        run.err
            .contains("recreate the containers of trading-app (distributor)"),
        "{}",
        run.all()
    );
    let steps = plan["steps"].as_array().unwrap().len();
    assert_eq!(
        run.err
            .lines()
            .filter(|line| line.starts_with("  "))
            .count(),
        steps,
        "{}",
        run.all()
    );
    let new = host.env(KEY);
    assert_ne!(old, new);
    assert_eq!(doors(&host, ROLE, &new), [true, true]);
    assert_eq!(doors(&host, ROLE, &old), [false, false]);
    assert_eq!(variable(&host, "PGPASSWORD"), new);
    assert_eq!(host.ids(), before, "a service of the stack was made anew");
    // Again and again, under the same load.
    for key in [ROLE, KEY, ROLE] {
        waits.push(waited(
            &host
                .ops(&["secrets", "rotate", key, "--no-restart", "--yes"])
                .ok(),
        ));
    }
    let transactions = none_failed(&host, load);
    assert!(transactions > 10.0, "{transactions}");
    eprintln!("{transactions:.0} transactions, none failed; clients waited {waits:?} ms");
    what_is_on_disk_is_the_new_one(&host);
}

fn what_is_on_disk_is_the_new_one(host: &Host) {
    let userlist = "config/pgbouncer/userlist.txt";
    assert!(
        host.read(userlist)
            .contains(&format!("\"{ROLE}\" \"{}\"", host.env(KEY)))
    );
    assert_eq!(access(&host.path(userlist)), (0o400, 1001));
    assert_eq!(access(&host.path("config/platform.env")), (0o600, 0));
    let inside = docker(&[
        "exec",
        &host.container("pgbouncer"),
        "cat",
        "/etc/pgbouncer/userlist.txt",
    ])
    .ok()
    .out;
    assert_eq!(inside, host.read(userlist));
    assert!(!host.path("config/rotation.json").exists());
    assert!(host.ops(&["up"]).ok().out.contains("nothing to do"));
}

/// T43: platform.env alone changes no database that is there; T50: nothing is appended at a restart.
#[test]
fn t43_t50_a_changed_key_changes_a_server_only_by_rotation() {
    let host = trading();
    let old = host.env("POSTGRES_PASSWORD");
    let admin = |password: &str| {
        ask(
            &host,
            "postgres",
            ["platform_admin", password, "postgres"],
            "select 1",
        )
        .is_ok()
    };
    host.ops(&["secrets", "set", "POSTGRES_PASSWORD", "--generate", "--yes"])
        .ok();
    let refused = host.ops(&["up"]);
    assert_eq!(refused.code, 4, "{}", refused.all());
    assert!(refused.err.contains("secrets rotate"), "{}", refused.err);
    assert!(admin(&old) && !admin(&host.env("POSTGRES_PASSWORD")));
    let plan = host
        .ops(&["secrets", "rotate", "platform_admin", "--dry-run"])
        .ok();
    assert!(
        plan.out.contains("does not accept the present"),
        "{}",
        plan.all()
    );
    host.ops(&["secrets", "rotate", "platform_admin", "--yes"])
        .ok();
    let new = host.env("POSTGRES_PASSWORD");
    assert!(!admin(&old) && admin(&new));
    assert_eq!(host.read("config/postgres/password"), new);
    console(&host);
    let userlist = host.read("config/pgbouncer/userlist.txt");
    host.ops(&["restart", "pgbouncer", "--yes"]).ok();
    assert_eq!(host.read("config/pgbouncer/userlist.txt"), userlist);
    assert_eq!(doors(&host, ROLE, &host.env(KEY)), [true, true]);
    assert!(host.ops(&["up"]).ok().out.contains("nothing to do"));
}

fn console(host: &Host) {
    let key = "PGBOUNCER_ADMIN_PASSWORD";
    let old = host.env(key);
    let show = |password: &str| {
        ask(
            host,
            "pgbouncer",
            ["pgbouncer_admin", password, "pgbouncer"],
            "show version",
        )
        .is_ok()
    };
    host.ops(&["secrets", "rotate", "pgbouncer_admin", "--yes"])
        .ok();
    assert!(!show(&old) && show(&host.env(key)));
    host.ops(&["pooler", "show", "pools"]).ok();
}
