//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::quantity;

/// Ships the logs of Docker containers to OCI Logging.
///
/// Reads Docker's json-file logs, signs and sends them, and keeps a checkpoint that only ever
/// covers what OCI accepted. Every key of the configuration can also be set in the environment, as
/// `PLATFORM_AGENT_<TABLE>__<KEY>`.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    /// What to do.
    pub command: Command,
    /// The configuration file [default: /etc/platform-agent/agent.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

const EXIT_CODES: &str = "Exit codes:
  0    done; for run: stopped by a signal, the checkpoint saved; for check: ready to run
  1    failed; for check: it found an error
  2    wrong usage or configuration
  3    another agent uses the state folder
  130  a second signal came before the first was carried out";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ship logs until SIGTERM or SIGINT.
    Run,
    /// Find out before running what would go wrong, and what endangers the logs.
    ///
    /// Looks at every key of the configuration, Docker's folder of containers, the state folder
    /// and the spool in it, credentials, endpoint and clock, at each container's log options, and at how much a first
    /// start would send. Sends one entry, of type <source.type_prefix>.check, to see that it is
    /// accepted. Run it as the agent itself runs: same user, same mounts. Nothing is changed.
    Check {
        /// As JSON, schema platform-agent/check/1.
        #[arg(long)]
        json: bool,
        /// Send no entry: the endpoint is only asked whether it answers.
        #[arg(long)]
        no_send: bool,
        /// Search the log for that entry until it is found, and print the seconds. Needs
        /// logging.search_scope and the right to read log-content.
        #[arg(long, conflicts_with = "no_send")]
        roundtrip: bool,
        /// How long to search at most.
        #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = quantity::duration)]
        roundtrip_max: Duration,
    },
    /// Ask a running agent whether it is alive (for health checks).
    Health,
    /// Show what a running agent is doing, what it has lost, and whom it leaves out.
    Status {
        /// As JSON, schema platform-agent/status/1.
        #[arg(long)]
        json: bool,
    },
    /// Show what was lost for good: which bytes of which log, why, when, between which times.
    ///
    /// Read from the state folder, whether an agent runs or not. Exact where the file was seen to
    /// its end; else a bound, and the entry says which (at_least, at_most, about).
    Ledger {
        /// As JSON, schema platform-agent/ledger/1.
        #[arg(long)]
        json: bool,
    },
    /// Entries that OCI refuses while it accepts others: list them, send them again, drop them.
    ///
    /// They are kept in the state folder, with what OCI answered, and nothing else waits for them.
    Quarantine {
        #[command(subcommand)]
        /// What to do.
        action: crate::quarantine::command::Action,
    },
    /// Print the default configuration, which documents every key.
    Defaults,
}
