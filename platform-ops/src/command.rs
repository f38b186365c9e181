//! The commands, one module each: its arguments and what it does.

pub mod adopt;
pub mod agent;
pub mod app;
pub mod backup;
pub mod completions;
pub mod db;
pub mod doctor;
pub mod down;
pub mod guard;
pub mod init;
pub mod logs;
pub mod pooler;
pub mod pull;
pub mod restart;
pub mod restore;
pub mod secrets;
pub mod status;
pub mod up;

use crate::cli::Command;
use crate::exit::{self, Exit};
use crate::session::Session;

/// Runs a command to its end.
///
/// # Errors
/// What made it fail; a [`crate::failure::Failure`] in the chain decides the exit code.
pub async fn run(session: &Session, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Adopt(arguments) => adopt::run(session, &arguments).await,
        Command::Init(arguments) => init::run(session, &arguments).await,
        Command::Up(arguments) => up::run(session, &arguments).await,
        Command::Down(arguments) => down::run(session, &arguments).await,
        Command::Restart(arguments) => restart::run(session, &arguments).await,
        Command::Pull(arguments) => pull::run(session, &arguments).await,
        Command::Logs(arguments) => logs::run(session, &arguments).await,
        Command::Db(arguments) => db::run(session, &arguments).await,
        Command::App(arguments) => app::run(session, &arguments).await,
        Command::Agent(arguments) => agent::run(session, &arguments).await,
        Command::Doctor(arguments) => doctor::run(session, &arguments).await,
        Command::Status(arguments) => status::run(session, &arguments).await,
        Command::Secrets(arguments) => secrets::run(session, &arguments).await,
        Command::Pooler(arguments) => pooler::run(session, &arguments).await,
        Command::Backup(arguments) => backup::run(session, &arguments).await,
        Command::Restore(arguments) => restore::run(session, &arguments).await,
        Command::Guard => guard::run(session).await,
        Command::Completions(arguments) => completions::run(session, &arguments),
        Command::ExitCodes => {
            session.output.text(exit::HELP);
            Ok(Exit::OK)
        }
    }
}
