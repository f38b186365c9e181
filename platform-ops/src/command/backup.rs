//! `backup`: sets that are proven.

mod create;
mod drill;
mod list;
mod prune;
mod schedule;
mod setting;
mod verify;

use std::path::PathBuf;

use clap::Subcommand;

use crate::exit::Exit;
use crate::session::Session;

pub use setting::{Scene, identities, open_store};

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops backup create                    dump, upload, read back, drill
  platform-ops backup create --to /mnt/disk     into a folder instead of the bucket
  platform-ops backup list                      which sets there are, and which are proven
  platform-ops backup verify latest             compare every byte
  platform-ops backup drill latest --identity key.txt   with the key that is kept elsewhere
  platform-ops backup prune                     what would go, and why the rest stays
  platform-ops backup prune --apply
  platform-ops backup schedule install          every night, by a timer

Where sets go and who can open them stands in <root>/config/backup.toml:
  recipients = [\"age1…\"]          # age-keygen, on another machine
  [bucket]
  name = \"backups\"

A set counts only after a restore drill. Until continuous archiving exists, what is lost in a
disaster is what was written since the last set.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a set: dump, upload, read back, restore it in a drill
    Create(create::Arguments),
    /// List the sets, the unfinished ones, and what is not ours
    List(Place),
    /// Show what a set holds
    Show(list::ShowArguments),
    /// Compare every byte of a set
    Verify(verify::Arguments),
    /// Restore a set into throw-away containers without a network
    Drill(drill::Arguments),
    /// Remove sets that no rule keeps; shows them only, without --apply
    Prune(prune::Arguments),
    /// Have a timer make backups at night
    Schedule(schedule::Arguments),
}

/// Where the sets are.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// A folder, instead of the configured place
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

/// Runs a `backup` command.
///
/// # Errors
/// What made it fail.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Create(arguments) => create::run(session, arguments).await,
        Command::List(place) => list::list(session, place).await,
        Command::Show(arguments) => list::show(session, arguments).await,
        Command::Verify(arguments) => verify::run(session, arguments).await,
        Command::Drill(arguments) => drill::run(session, arguments).await,
        Command::Prune(arguments) => prune::run(session, arguments).await,
        Command::Schedule(arguments) => schedule::run(session, arguments).await,
    }
}
