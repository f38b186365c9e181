//! What is refused before anything is made.

use crate::setup::Platform;

#[test]
fn secrets_do_not_leave_the_host_readable_unless_asked() {
    let platform = Platform::new();
    platform.configure(&format!("\ndirectory = {:?}\n", platform.store()));
    let run = platform.ops(&["backup", "create"]);
    assert_eq!(run.code, 4, "{}", run.all());
    assert!(run.err.contains("age-keygen"), "{}", run.err);
    assert!(!platform.store().exists());
    platform.create(&["--allow-plaintext-secrets"]);
    platform.ops(&["backup", "verify"]).ok();
}

/// T16: a missing mount makes an empty cluster, whose backup would push out the good ones.
#[test]
fn t16_another_cluster_is_refused() {
    let platform = Platform::new();
    platform.create(&["--no-drill"]);
    let other = Platform::new();
    let copy = platform.host.read("config/backup.toml");
    std::fs::write(other.host.path("config/backup.toml"), copy).unwrap();
    let run = other.ops(&["backup", "create", "--no-drill"]);
    assert_eq!(run.code, 4, "{}", run.all());
    assert!(run.err.contains("another cluster"), "{}", run.err);
    let run = other.ops(&["backup", "create", "--no-drill", "--accept-new-cluster"]);
    assert_eq!(run.code, 3, "{}", run.all());
}

/// T11: what is left out is named, and nothing to back up is an error.
#[test]
fn t11_databases_are_discovered_and_the_left_out_ones_named() {
    let platform = Platform::new();
    let recipients = platform.recipients();
    let configure = |exclude: &str| {
        let directory = platform.store();
        platform.configure(&format!(
            "{recipients}\ndirectory = {directory:?}\nexclude_databases = [{exclude}]\n"
        ));
    };
    configure("\"trading_db_test\"");
    platform.create(&["--no-drill"]);
    let shown = platform.ops(&["backup", "show", "--json"]).ok().json();
    assert_eq!(
        shown["manifest"]["databases_excluded"],
        serde_json::json!(["trading_db_test"])
    );
    let notes = shown["manifest"]["notes"].to_string();
    assert!(notes.contains("odd = name has no tables"), "{notes}");
    configure("\"trading_db_test\", \"trading_db\", \"postgres\", \"odd = name\"");
    let run = platform.ops(&["backup", "create"]);
    assert_eq!(run.code, 4, "{}", run.all());
}

/// T25: one run at a time.
#[test]
fn t25_a_second_run_is_told_who_holds_the_lock() {
    let platform = Platform::new();
    let mut first = platform.host.spawn(&["backup", "create", "--no-drill"]);
    let limit = std::time::Duration::from_secs(30);
    fixtures::wait::until("the first run", limit, || {
        Ok(platform.store().exists().then_some(()))
    })
    .unwrap();
    let second = platform.ops(&["backup", "create"]);
    assert_eq!(second.code, 11, "{}", second.all());
    assert!(second.err.contains("backup create"), "{}", second.err);
    assert_eq!(first.wait().unwrap().code(), Some(3));
}
