//! The command line: global options and the list of commands. Each command's own arguments stand
//! in its module.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::command;
use crate::exit;
use crate::output::ColorChoice;

const AFTER_HELP: &str = "\
Examples:
  platform-ops init && platform-ops up      a new platform on an empty host
  platform-ops adopt --dry-run              what taking over a running host would write
  platform-ops status --watch               one screen, refreshed
  platform-ops doctor                       what is wrong, and the command that fixes it
  platform-ops logs -f postgres redis       follow two services
  platform-ops db fresh-install trading_db  a new database in the old one's place, which stays

What only reads can be run by members of the docker group; the rest says \"needs root\".
`platform-ops help exit-codes` lists the exit codes.";

/// Runs a PostgreSQL, Redis and PgBouncer platform on one host.
///
/// Everything it changes it shows first as a plan (--dry-run), and what it did not make it leaves
/// alone.
#[derive(Debug, Parser)]
#[command(
    name = "platform-ops",
    version,
    arg_required_else_help = true,
    after_help = AFTER_HELP,
    max_term_width = 100
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The folder that holds the platform
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/srv",
        env = "PLATFORM_OPS_ROOT"
    )]
    pub root: PathBuf,
    /// Print JSON, one object a line, schema platform-ops/1
    #[arg(long, global = true)]
    pub json: bool,
    /// Print the plan that would be applied, and change nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Answer yes to what can be brought back
    #[arg(long, short, global = true)]
    pub yes: bool,
    /// Confirm the loss of what has this name; --yes is not enough for that
    #[arg(long, global = true, value_name = "NAME")]
    pub confirm: Option<String>,
    /// Never ask: refuse instead
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Colours: NO_COLOR and CLICOLOR_FORCE are heeded
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_possible_values = true
    )]
    pub color: ColorChoice,
    /// How long to wait for another run to end
    #[arg(long, global = true, value_name = "TIME", default_value = "0s")]
    pub lock_wait: humantime::Duration,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take over a running host: write its configuration down, recreate nothing
    Adopt(command::adopt::Arguments),
    /// Lay a new platform out on an empty root: folders, platform.env with generated secrets
    Init(command::init::Arguments),
    /// Services, load, disk and findings on one screen, and what changed since the last look
    Status(command::status::Arguments),
    /// Find what is wrong, with the command that fixes it
    Doctor(command::doctor::Arguments),
    /// Start the services, in order, and wait until they are healthy
    Up(command::up::Arguments),
    /// Stop the services, in reverse order; their data stay
    Down(command::down::Arguments),
    /// Stop and start services, in order, and wait until they are healthy
    Restart(command::restart::Arguments),
    /// Fetch the images and pin them by digest; no container is touched
    Pull(command::pull::Arguments),
    /// Show or follow logs, by service
    Logs(command::logs::Arguments),
    /// Secrets of platform.env: list, check, set, import, rotate; values are never printed
    Secrets(command::secrets::Arguments),
    /// PgBouncer's console: show, pause, resume, reload
    Pooler(command::pooler::Arguments),
    /// Databases: list, create, drop, psql, migrate, make anew, and back
    Db(command::db::Arguments),
    /// Application stacks under apps/
    App(command::app::Arguments),
    /// The log agent: status, check, pause
    Agent(command::agent::Arguments),
    /// Backups: make, list, verify, drill, prune
    Backup(command::backup::Arguments),
    /// Bring a database or Redis back from a set
    Restore(command::restore::Arguments),
    /// Wait for the end of the run that started it, and clean up after it
    #[command(hide = true)]
    Guard,
    /// Print a completion script for a shell
    Completions(command::completions::Arguments),
    /// The exit codes
    #[command(name = "exit-codes", long_about = exit::HELP)]
    ExitCodes,
}
