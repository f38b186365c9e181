//! What an operator sees of the program.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn platform_ops(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_platform-ops"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn version_is_the_packages() {
    let output = platform_ops(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        text(&output.stdout),
        concat!("platform-ops ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn without_arguments_help_goes_to_stderr_as_a_usage_error() {
    let output = platform_ops(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    assert!(text(&output.stderr).contains("Usage: platform-ops"));
}

#[test]
fn an_unknown_command_is_a_usage_error_that_names_it() {
    let output = platform_ops(&["replicate"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("'replicate'"),
        "{}",
        text(&output.stderr)
    );
}

/// The units are what systemd takes, with this very program.
#[test]
fn systemd_accepts_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let units = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/host");
    let mut files = Vec::new();
    for name in [
        "platform-ops-doctor.service",
        "platform-ops-doctor.timer",
        "platform-ops-backup.service",
        "platform-ops-backup.timer",
    ] {
        let text = std::fs::read_to_string(format!("{units}/{name}")).unwrap();
        let text = text.replace(
            "/usr/local/bin/platform-ops",
            env!("CARGO_BIN_EXE_platform-ops"),
        );
        // Whether Docker has a unit is not this test's question.
        let text = text.replace("Requires=docker.service\n", "");
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        files.push(path);
    }
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .args(&files)
        .output()
        .unwrap();
    let complaints = text(&output.stderr);
    assert!(
        output.status.success() && !complaints.contains("platform-ops-"),
        "{complaints}"
    );
}

#[test]
fn help_shows_every_command_and_the_exit_codes() {
    insta::assert_snapshot!(text(&platform_ops(&["--help"]).stdout));
    insta::assert_snapshot!(text(&platform_ops(&["help", "exit-codes"]).stdout));
    insta::assert_snapshot!(text(&platform_ops(&["adopt", "--help"]).stdout));
    insta::assert_snapshot!(text(&platform_ops(&["doctor", "--help"]).stdout));
}

#[test]
fn without_a_platform_the_way_to_one_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    let output = platform_ops(&["--root", &root, "--json", "status"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(
        text(&output.stderr).contains("try: platform-ops init"),
        "{}",
        text(&output.stderr)
    );
    let error: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&error["kind"], &error["exit"]),
        (&"error".into(), &4.into())
    );
}

/// T59: what was missed while the host was off is made up for, and nothing hangs on the environment
/// of a shell or of cron.
#[test]
fn t59_timers_catch_up_and_need_no_shell() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/host");
    let mut timers = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "timer") {
            continue;
        }
        let timer = std::fs::read_to_string(&path).unwrap();
        assert!(timer.contains("\nPersistent=true\n"), "{}", path.display());
        let service = std::fs::read_to_string(path.with_extension("service")).unwrap();
        let start = "\nExecStart=/usr/local/bin/platform-ops ";
        assert!(service.contains(start), "{service}");
        assert!(!service.contains("\nEnvironment"), "{service}");
        timers += 1;
    }
    assert!(timers > 0);
}

#[test]
fn doctor_lists_its_checks() {
    let output = platform_ops(&["doctor", "--list", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = listed["checks"].as_array().unwrap();
    assert_eq!(checks.len(), platform_ops::doctor::CHECKS.len());
    let lines = platform_ops(&["doctor", "--list"]);
    assert_eq!(text(&lines.stdout).lines().count(), checks.len());
}

/// The shell itself takes the script.
#[test]
fn bash_completes_commands() {
    let script = r#"source <("$0" completions bash)
        [[ $(complete -p platform-ops) =~ -F\ ([^ ]+) ]]
        COMP_WORDS=(platform-ops agent '') COMP_CWORD=2
        "${BASH_REMATCH[1]}" platform-ops '' agent
        echo "${COMPREPLY[@]}""#;
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_platform-ops")])
        .output()
        .unwrap();
    let offered = text(&output.stdout);
    for word in ["status", "check", "pause"] {
        assert!(offered.contains(word), "{offered}{}", text(&output.stderr));
    }
}

#[test]
fn completions_are_made_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = platform_ops(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("platform-ops"));
    }
}
