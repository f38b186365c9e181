//! A disk that is nearly full.

use std::process::Command;

use crate::host::{Host, Run};

/// Runs a command where the root lies on a file system of 64 MiB, which only it sees.
fn cramped(host: &Host, arguments: &[&str]) -> Run {
    let script = "cp -a \"$0\" \"$0.full\" && mount -t tmpfs -o size=64m tmpfs \"$0\" \
        && cp -a \"$0.full/.\" \"$0\" && rm -r \"$0.full\" && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script])
        .arg(host.root());
    command.arg(env!("CARGO_BIN_EXE_platform-ops"));
    command.arg("--root").arg(host.root()).args(arguments);
    command.output().unwrap().into()
}

#[test]
fn what_needs_room_refuses_below_the_floor_that_status_names() {
    let host = Host::initialised();
    for command in ["up", "pull"] {
        let refused = cramped(&host, &[command]);
        assert!(
            refused.code == 4 && refused.err.contains("the floor is 1.0 GiB"),
            "{command}: {}",
            refused.all()
        );
    }
    let status = cramped(&host, &["status"]);
    assert!(
        status.out.contains("of 64.0 MiB free (floor 1.0 GiB)"),
        "{}",
        status.all()
    );
    let doctor = cramped(&host, &["doctor", "--json"]).json();
    let found = doctor["findings"].as_array().unwrap();
    let root = host.root().display().to_string();
    assert!(crate::host::is_found(found, "host.disk", &root), "{doctor}");
}
