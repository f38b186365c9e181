//! The installed program, and its master under the root.

use std::path::Path;
use std::process::Command;

use crate::host::{Host, Run, is_found};

const PROGRAM: &str = "/usr/local/bin/platform-ops";

/// Runs what lies in this folder as the installed program: only this one process sees it there.
fn installed(host: &Host, folder: &Path, arguments: &[&str]) -> Run {
    let script = format!(
        "mount -t overlay overlay -o lowerdir=\"$0\":/usr/local/bin /usr/local/bin && exec {PROGRAM} \"$@\""
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).arg(folder);
    command.arg("--root").arg(host.root()).args(arguments);
    command.output().unwrap().into()
}

#[test]
fn a_backup_of_the_root_holds_the_program_that_is_installed() {
    let host = Host::initialised();
    let master = host.path("config/host/platform-ops");
    assert!(!master.exists(), "what is not installed has no master");
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("platform-ops");
    std::fs::copy(env!("CARGO_BIN_EXE_platform-ops"), &program).unwrap();
    let is_told = || {
        let run = installed(&host, folder.path(), &["doctor", "--json"]);
        let findings = run.json()["findings"].as_array().unwrap().clone();
        is_found(&findings, "host.file", PROGRAM)
    };
    assert!(is_told(), "it has no master");
    let keep = |what: &str| {
        let run = installed(&host, folder.path(), &["init"]).ok();
        assert!(
            run.err.contains("keep this program"),
            "{what}: {}",
            run.all()
        );
        assert_eq!(
            std::fs::read(&master).unwrap(),
            std::fs::read(&program).unwrap()
        );
        assert_eq!(crate::host::access(&master), (0o755, 0));
        let again = installed(&host, folder.path(), &["init"]).ok();
        assert!(again.out.contains("nothing to do"), "{}", again.all());
        assert!(!is_told(), "{what}");
    };
    keep("the first");
    // Another version: what follows the program in its file is not part of it.
    let mut bytes = std::fs::read(&program).unwrap();
    bytes.extend_from_slice(b"newer");
    std::fs::write(&program, bytes).unwrap();
    assert!(is_told(), "an upgrade is not seen");
    keep("the second");
}
