//! The commands, one module each: its arguments and what it does.

pub mod completions;

use crate::cli::Command;
use crate::exit::{self, Exit};
use crate::session::Session;

/// Runs a command to its end.
///
/// # Errors
/// What made it fail; a [`crate::failure::Failure`] in the chain decides the exit code.
pub async fn run(session: &Session, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Completions(arguments) => completions::run(session, &arguments),
        Command::ExitCodes => {
            session.output.text(exit::HELP);
            Ok(Exit::OK)
        }
    }
}
