//! platform-agent: ships Docker container logs to OCI Logging.

mod admin;
mod check;
mod cli;
mod config;
mod container;
mod cpu;
mod discover;
mod disk;
mod engine;
mod files;
mod folder;
mod forecast;
mod greeting;
mod heartbeat;
mod host;
mod ledger;
mod listing;
mod marker;
mod memory;
mod priority;
mod quarantine;
mod run;
mod saving;
mod sender;
mod shard;
mod spool;
mod store;
mod watch;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use config::{Config, Log, LogFormat};

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const IN_USE: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = oci::forbid_core_dumps() {
        return fail(FAILED, &format!("failed to switch core dumps off: {error}"));
    }
    if matches!(cli.command, Command::Defaults) {
        return print(config::DEFAULT_TOML);
    }
    let loaded = config::load(cli.config.as_deref(), std::env::vars());
    if let Command::Check {
        json,
        no_send,
        roundtrip,
        roundtrip_max,
    } = cli.command
    {
        let options = check::Options {
            send: !no_send,
            search: roundtrip.then_some(roundtrip_max),
        };
        let report = check::check(cli.config.as_deref(), loaded.as_ref(), options);
        return checked(&report, json);
    }
    let config = match loaded {
        Ok(config) => config,
        Err(error) => return fail(USAGE, &error),
    };
    let result = match cli.command {
        Command::Run => {
            start_log(config.log);
            run::run(&config)
        }
        Command::Health => health(&config),
        Command::Status { json } => return status(&config, json),
        Command::Quarantine { action } => match quarantine::command::run(&config, &action) {
            Ok(text) => return print(&text),
            Err(error) => Err(error),
        },
        Command::Ledger { json } => match ledger::command::run(&config, json) {
            Ok(text) => return print(&text),
            Err(error) => Err(error),
        },
        Command::Check { .. } | Command::Defaults => Ok(()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let in_use = matches!(error.downcast_ref(), Some(store::StoreError::InUse { .. }));
            fail(if in_use { IN_USE } else { FAILED }, &format!("{error:#}"))
        }
    }
}

fn fail(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    // Nothing can be done when stderr is gone.
    let _ = writeln!(std::io::stderr(), "error: {error}");
    ExitCode::from(code)
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, &error),
    }
}

fn checked(report: &check::Report, json: bool) -> ExitCode {
    let is_coloured = may_colour() && std::io::IsTerminal::is_terminal(&std::io::stdout());
    let text = match json {
        true => check::json(report),
        false => check::page(report, check::Look { is_coloured }),
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) => fail(FAILED, &error),
        Ok(()) if report.is_configuration_wrong => ExitCode::from(USAGE),
        Ok(()) if report.verdict() == check::Verdict::Error => ExitCode::from(FAILED),
        Ok(()) => ExitCode::SUCCESS,
    }
}

/// <https://no-color.org>: set and not empty.
fn may_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn start_log(log: Log) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(log.level)
        .with_writer(std::io::stderr)
        .with_ansi(may_colour() && is_terminal())
        .with_target(false);
    match log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}

fn socket(config: &Config) -> anyhow::Result<&std::path::Path> {
    config
        .admin
        .socket
        .as_deref()
        .ok_or_else(|| anyhow::anyhow!("admin.socket is turned off"))
}

fn ask(config: &Config, path: &str) -> anyhow::Result<(u16, String)> {
    let socket = socket(config)?;
    admin::ask(socket, path)
        .map_err(|error| anyhow::anyhow!("no agent answers at {}: {error}", socket.display()))
}

fn health(config: &Config) -> anyhow::Result<()> {
    match ask(config, "/healthz")? {
        (200, _) => Ok(()),
        (_, body) => Err(anyhow::anyhow!("{}", body.trim())),
    }
}

fn status(config: &Config, json: bool) -> ExitCode {
    let body = match ask(config, "/status") {
        Ok((_, body)) => body,
        Err(error) => return fail(FAILED, &error),
    };
    if json {
        return print(&body);
    }
    match serde_json::from_str::<serde_json::Value>(&body) {
        Ok(status) => print(&table(&status)),
        Err(error) => fail(FAILED, &error),
    }
}

/// The status for people.
fn table(status: &serde_json::Value) -> String {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut out = String::new();
    for key in [
        "ready",
        "unready_reason",
        "send_error",
        "accepted_entries",
        "lag_bytes",
        "lost_bytes",
    ] {
        if !status[key].is_null() {
            out += &format!("{key:<18} {}\n", text(&status[key]));
        }
    }
    out += &format!(
        "\n{:<40} {:>12} {:>12}  LAST LINE\n",
        "CONTAINER", "READ", "LAG"
    );
    for container in status["containers"].as_array().into_iter().flatten() {
        out += &format!(
            "{:<40} {:>12} {:>12}  {}\n",
            text(&container["name"]),
            text(&container["read_bytes"]),
            text(&container["lag_bytes"]),
            text(&container["last_time"])
        );
    }
    for left_out in status["left_out"].as_array().into_iter().flatten() {
        out += &format!(
            "{:<40} {}\n",
            text(&left_out["name"]),
            text(&left_out["reason"])
        );
    }
    for loss in status["losses"].as_array().into_iter().flatten() {
        out += &format!(
            "lost: {} {} {}..{} ({}), told {}\n",
            text(&loss["name"]),
            text(&loss["reason"]),
            text(&loss["from"]),
            loss["to"]
                .as_u64()
                .map_or("?".to_owned(), |to| to.to_string()),
            text(&loss["bound"]),
            text(&loss["told_at"]),
        );
    }
    out
}
