//! What members of the docker group may do.

use std::process::Command;

use crate::host::{self, Host};

/// They have no platform.env to read, see what needs no secret, and change nothing.
pub fn members_of_the_docker_group(host: &Host) {
    let gid = std::fs::metadata("/var/run/docker.sock")
        .map(|socket| std::os::unix::fs::MetadataExt::gid(&socket))
        .unwrap();
    // The folder of the test is private to root.
    for folder in [host.root().parent().unwrap(), &host.root()] {
        std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    let binary = host.root().parent().unwrap().join("platform-ops");
    std::fs::copy(env!("CARGO_BIN_EXE_platform-ops"), &binary).unwrap();
    let as_member = |arguments: &[&str]| -> host::Run {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", &format!("--regid={gid}")])
            .args(["--clear-groups", "--"])
            .arg(&binary)
            .arg("--root")
            .arg(host.root())
            .args(arguments)
            .env("HOME", "/")
            .output()
            .unwrap();
        output.into()
    };
    let seen = as_member(&["status", "--json"]).json();
    let services = seen["services"].as_array().unwrap();
    assert!(
        services.iter().all(|service| service["state"] == "running"),
        "{seen}"
    );
    assert!(
        services[0]["version"].is_string() && services[1]["version"].is_string(),
        "{seen}"
    );
    let doctor = as_member(&["doctor", "--json"]).json();
    let found = doctor["findings"].as_array().unwrap();
    assert!(
        host::is_found(found, "look.gap", "platform.env"),
        "{doctor}"
    );
    assert!(!as_member(&["logs", "postgres"]).ok().out.is_empty());
    as_member(&["logs", "--path", "redis"]).ok();
    as_member(&["app", "list"]).ok();
    let changing: [&[&str]; 9] = [
        &["init"],
        &["adopt"],
        &["up"],
        &["down", "--yes"],
        &["restart", "--yes"],
        &["pull"],
        &["agent", "pause", "--yes"],
        &["secrets", "list"],
        &["app", "up", "demo"],
    ];
    let before = host.ids();
    std::fs::create_dir_all(host.path("apps/demo")).unwrap();
    std::fs::write(host.path("apps/demo/compose.yaml"), "services: {}\n").unwrap();
    for arguments in changing {
        let refused = as_member(arguments);
        let is_told = refused.code == 4 && refused.err.contains("needs root");
        assert!(is_told, "{arguments:?}: {}", refused.all());
    }
    assert_eq!(host.ids(), before);
}
