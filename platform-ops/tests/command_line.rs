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
