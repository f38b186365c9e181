//! `app`: both env files, the exit codes, signals.

use crate::host::{self, Host, docker};
use crate::signal;

pub fn applications(host: &Host) {
    let folder = host.path("apps/demo");
    std::fs::create_dir_all(&folder).unwrap();
    let compose = format!(
        "services:
  job:
    image: {}
    entrypoint: [bash, -c]
    environment: {{OWN: \"${{OWN}}\", BOTH: \"${{BOTH}}\", SECRET: \"${{TRADING_APP_DB_PASSWORD}}\", SHELL_ONLY: \"${{PGPASSWORD:-unset}}\"}}
    command: [\"sleep 600\"]
    stop_signal: SIGKILL
networks: {{default: {{name: {}, external: true}}}}
",
        host::POSTGRES_IMAGE,
        host.network()
    );
    std::fs::write(folder.join("compose.yaml"), compose).unwrap();
    std::fs::write(folder.join(".env"), "OWN=own\nBOTH=first\n").unwrap();
    host.set_env("BOTH=second");
    let script = "echo \"$OWN $BOTH ${#SECRET} $SHELL_ONLY\"; exit 7";
    let output = host
        .command(&["app", "run", "demo", "job", script])
        .env("PGPASSWORD", "from-the-shell")
        .output()
        .unwrap();
    let run: host::Run = output.into();
    assert_eq!(run.code, 7, "{}", run.all());
    assert_eq!(run.out.trim(), "own second 32 unset");
    host.ops(&["app", "up", "demo"]).ok();
    let listed = host.ops(&["app", "list", "--json"]).ok().json();
    assert_eq!(
        (&listed["apps"][0]["name"], &listed["apps"][0]["running"]),
        (&"demo".into(), &1.into()),
        "{listed}"
    );
    let failed = host.ops(&["app", "up", "demo", "--", "--no-such-option"]);
    assert!(
        failed.code != 0 && failed.err.contains("no-such-option"),
        "{}",
        failed.all()
    );
    is_ended_by_a_signal(host, &folder);
    host.ops(&["app", "down", "demo"]).ok();
    let refused = host.ops(&["app", "up", "nothing"]);
    assert!(
        refused.code == 2 && refused.err.contains("demo"),
        "{}",
        refused.all()
    );
}

/// Neither the program nor its container goes on behind the operator's back.
fn is_ended_by_a_signal(host: &Host, folder: &std::path::Path) {
    let script = "touch /tmp/ready; sleep 600";
    let mut run = host.spawn(&["app", "run", "demo", "job", script]);
    let folder = format!(
        "label=com.docker.compose.project.working_dir={}",
        folder.display()
    );
    let oneoff = "label=com.docker.compose.oneoff=True";
    let list = || docker(&["ps", "-aq", "--filter", &folder, "--filter", oneoff]).out;
    let limit = std::time::Duration::from_secs(60);
    fixtures::wait::until("the program to run", limit, || {
        let ready = docker(&["exec", list().trim(), "test", "-e", "/tmp/ready"]);
        Ok((ready.code == 0).then_some(()))
    })
    .unwrap();
    signal(run.id(), "TERM");
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(list(), "", "the container is still there");
}
