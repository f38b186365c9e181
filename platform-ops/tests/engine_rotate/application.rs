//! Applications: taken back where one does not get healthy; two login roles where they reconnect.

use crate::host::{Host, docker};
use crate::setup::{KEY, ROLE, application, ask, doors, trading, variable};

fn digest(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn an_application_that_does_not_get_healthy_takes_the_rotation_back() {
    let host = trading();
    let old = host.env(KEY);
    let environment = format!("{{DB_PASSWORD: \"${{{KEY}}}\"}}");
    // It works with its first password only.
    let health = format!(
        "printf %s \"$$DB_PASSWORD\" | sha256sum | grep -q {}",
        digest(&old)
    );
    application(&host, &environment, "sleep 600", &health);
    let run = host.ops(&["secrets", "rotate", ROLE, "--yes", "--json"]);
    assert_eq!(run.code, 1, "{}", run.all());
    let error = run.json();
    assert!(
        error["error"].as_str().unwrap().contains("was taken back"),
        "{}",
        run.all()
    );
    assert!(run.err.contains("is unhealthy"), "{}", run.all());
    assert_eq!(host.env(KEY), old);
    assert_eq!(doors(&host, ROLE, &old), [true, true]);
    assert_eq!(variable(&host, "DB_PASSWORD"), old);
    assert!(!host.path("config/rotation.json").exists());
    assert!(host.ops(&["up"]).ok().out.contains("nothing to do"));
    // A copy of the secret would stay the old one.
    std::fs::write(
        host.path("apps/trading-app/.env"),
        format!("A=1\nURL=x:{old}@y\n"),
    )
    .unwrap();
    let refused = host.ops(&["secrets", "rotate", ROLE, "--yes"]);
    assert!(
        refused.code == 4 && refused.err.contains("line 2"),
        "{}",
        refused.all()
    );
    assert!(!refused.all().contains(&old));
    two_login_roles(&host);
}

/// An application that opens a connection for each query, and writes down what fails.
fn two_login_roles(host: &Host) {
    let pgbouncer = host.container("pgbouncer");
    let health = "psql -XAtqc \"select 1\" trading_db";
    let script = "while :; do if psql -XAtqc \"select current_user\" trading_db >/out/last 2>/out/error; then date >>/out/done; else cat /out/error >>/out/failed; fi; done";
    let environment = |user: &str| {
        format!(
            "{{PGUSER: \"{user}\", PGPASSWORD: \"${{{KEY}}}\", PGHOST: {pgbouncer}, PGPORT: \"6432\"}}"
        )
    };
    application(host, &environment(ROLE), script, health);
    let refused = host.ops(&["secrets", "rotate", ROLE, "--alternate", "--yes"]);
    assert!(
        refused.code == 4 && refused.err.contains("does not take its user from"),
        "{}",
        refused.all()
    );
    host.set_env(&format!("TRADING_APP_DB_USER={ROLE}"));
    application(host, &environment("${TRADING_APP_DB_USER}"), script, health);
    host.psql("postgres", &format!("alter role {ROLE} set search_path to trading, \"$user\", public; alter role {ROLE} in database trading_db set statement_timeout to '7s'")).ok();
    let mut old = (ROLE.to_owned(), host.env(KEY));
    for (more, user) in [
        (&["--alternate"][..], "trading_app_user_a"),
        (&[], "trading_app_user_b"),
        (&[], "trading_app_user_a"),
    ] {
        let run = host
            .ops(&[&["secrets", "rotate", ROLE, "--yes"], more].concat())
            .ok();
        assert_eq!(host.env("TRADING_APP_DB_USER"), user, "{}", run.all());
        let new = (user.to_owned(), host.env(KEY));
        assert_eq!(doors(host, &new.0, &new.1), [true, true]);
        assert_eq!(doors(host, &old.0, &old.1), [false, false]);
        let login = [user, new.1.as_str(), "trading_db"];
        let acts = "select concat_ws(' ', current_user, current_setting('search_path'), current_setting('statement_timeout'))";
        let wanted = format!("{ROLE} trading, \"$user\", public 7s");
        assert_eq!(ask(host, "postgres", login, acts).unwrap(), wanted);
        assert_eq!(
            ask(host, "pgbouncer", login, "select count(*) from t").unwrap(),
            "100"
        );
        assert_eq!(variable(host, "PGUSER"), user);
        old = new;
    }
    let failed = std::fs::read_to_string(host.path("out/failed")).unwrap_or_default();
    let done = host.read("out/done").lines().count();
    assert!(
        failed.is_empty() && done > 10,
        "{done} done, failed: {failed}"
    );
    eprintln!("{done} connections through three rotations, none refused");
    docker(&["rm", "--force", &host.container("distributor")]).ok();
    assert!(host.ops(&["up"]).ok().out.contains("nothing to do"));
}
