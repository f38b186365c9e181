//! Killed between ALTER ROLE and the new userlist.txt: without another run PgBouncer and PostgreSQL
//! take the same password, and no client that waits is refused.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::host::Host;
use crate::setup::{ROLE, is_paused, load, none_failed, one_of_both, trading, wait_for_load};

const WAIT_MAX: Duration = Duration::from_secs(20);

/// Another transaction, for which ALTER ROLE has to wait.
struct Blocker {
    child: Child,
    input: ChildStdin,
}

impl Blocker {
    fn new(host: &Host) -> Self {
        let mut child = Command::new("docker")
            .args(["exec", "-i", &host.container("postgres"), "psql", "-XAtq"])
            .args(["-U", "platform_admin", "postgres"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let lock = b"begin; lock pg_authid in share row exclusive mode; select 'held';\n";
        input.write_all(lock).unwrap();
        let line = BufReader::new(child.stdout.as_mut().unwrap())
            .lines()
            .next();
        assert_eq!(line.unwrap().unwrap(), "held");
        Self { child, input }
    }

    fn end(mut self) {
        drop(self.input);
        self.child.wait().unwrap();
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    fixtures::wait::until(what, WAIT_MAX, || Ok(is_so().then_some(()))).unwrap();
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([name, &pid]).status().unwrap();
    assert!(sent.success());
}

fn asked(host: &Host, sql: &str) -> String {
    host.psql("postgres", sql).ok().out
}

/// A rotation that waits in ALTER ROLE. Its file was removed since it was started, as an upgrade
/// does it.
fn rotating(host: &Host) -> Child {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("platform-ops");
    std::fs::copy(env!("CARGO_BIN_EXE_platform-ops"), &program).unwrap();
    let child = Command::new(&program)
        .arg("--root")
        .arg(host.root())
        .args(["secrets", "rotate", ROLE, "--yes"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(folder);
    let sql = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ilike '%alter role%' and pid <> pg_backend_pid()";
    until("ALTER ROLE to wait", || asked(host, sql).trim() == "1");
    child
}

fn killed(host: &Host, mut child: Child) -> String {
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::read_to_string(host.path("config/rotation.json")).unwrap()
}

#[test]
fn a_kill_between_alter_role_and_userlist_leaves_one_password_for_both_and_refuses_nobody() {
    let host = trading();
    let load = load(&host);
    wait_for_load(&host);
    let verifier = format!("select rolpassword from pg_authid where rolname = '{ROLE}'");
    let rotate = ["secrets", "rotate", ROLE, "--yes"];

    // Halted until PostgreSQL has changed the password, then killed.
    let before = asked(&host, &verifier);
    let blocker = Blocker::new(&host);
    let child = rotating(&host);
    signal(&child, "-STOP");
    blocker.end();
    until("the verifier to change", || {
        asked(&host, &verifier) != before
    });
    let journal = killed(&host, child);
    assert_eq!(one_of_both(&host, &journal), "to");
    assert!(!is_paused(&host));
    host.ops(&rotate).ok();

    // Killed while PostgreSQL still waits: the change must not come after all.
    let blocker = Blocker::new(&host);
    let child = rotating(&host);
    let journal = killed(&host, child);
    let own =
        "select count(*) from pg_stat_activity where application_name = 'platform-ops-rotate'";
    until("the session to end", || asked(&host, own).trim() == "0");
    blocker.end();
    assert_eq!(one_of_both(&host, &journal), "from");
    assert!(!is_paused(&host));
    host.ops(&rotate).ok();
    none_failed(&host, load);
}
