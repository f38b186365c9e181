//! `completions`: what makes a shell complete our arguments.

use clap::CommandFactory;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::session::Session;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  platform-ops completions bash > /etc/bash_completion.d/platform-ops"
)]
pub struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "platform-ops",
        &mut script,
    );
    // clap_complete 4.6 spells a name with a hyphen in two ways, and bash then offers nothing.
    let script = String::from_utf8(script)?.replace("platform__subcmd__ops", "platform__ops");
    session.output.text(&script);
    Ok(Exit::OK)
}
