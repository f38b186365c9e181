//! platform-ops: the operator's command line of the database platform.
//!
//! It has no commands yet. Its help says what it is for and what it does not do today.

use clap::Parser;

const AFTER_HELP: &str = "\
This version has no commands. What belongs here, and nowhere else in this repository:

  platform   PostgreSQL, Redis and PgBouncer on one host: their containers, settings, databases
             and roles
  backup     their backups in OCI Object Storage, and the drills that prove a restore
  host       what the platform needs of the machine under it

Whatever changes something will show a plan first. Shipping logs is platform-agent's work.";

/// The operator's command line of the database platform: PostgreSQL, Redis, PgBouncer and their
/// backups.
#[derive(Parser)]
#[command(
    name = "platform-ops",
    version,
    arg_required_else_help = true,
    after_help = AFTER_HELP,
    max_term_width = 100
)]
struct CommandLine {}

fn main() {
    CommandLine::parse();
}
