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
fn help_says_what_the_program_is_for_and_that_it_does_nothing_yet() {
    let output = platform_ops(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(text(&output.stdout), @r"
    The operator's command line of the database platform: PostgreSQL, Redis, PgBouncer and their backups

    Usage: platform-ops

    Options:
      -h, --help     Print help
      -V, --version  Print version

    This version has no commands. What belongs here, and nowhere else in this repository:

      platform   PostgreSQL, Redis and PgBouncer on one host: their containers, settings, databases
                 and roles
      backup     their backups in OCI Object Storage, and the drills that prove a restore
      host       what the platform needs of the machine under it

    Whatever changes something will show a plan first. Shipping logs is platform-agent's work.
    ");
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
    let output = platform_ops(&["backup"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("'backup'"),
        "{}",
        text(&output.stderr)
    );
}
