//! `db`: the databases of applications.

mod create;
mod drop;
mod install;
mod migrate;
mod psql;

use bytesize::ByteSize;

use crate::backup::server::Server;
use crate::command::backup::Scene;
use crate::database::journal::Journal;
use crate::database::listing::{self, Entry};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::settings::Settings;

/// Arguments of `db`.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  platform-ops db list
  platform-ops db create ledger_db --role ledger_user
  platform-ops db psql trading_db < report.sql
  platform-ops db fresh-install trading_db --dry-run
  platform-ops db fresh-install trading_db --confirm trading_db
  platform-ops db undo trading_db --confirm trading_db

A role that nobody logs in as owns each database; the login roles act as it, so it does not matter
which of them made a table. Whose database it is says platform.env: NAME_DB_PASSWORD belongs to
NAME_DB_USER (name_user) and to NAME_DB_NAME (name_db, without _app). NAME_DB_OWNER names the owner
where it is not the one named after the database."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The databases: owner, size, sessions, and what is only kept
    List,
    /// Make a database with its owner, grants and extensions
    Create(create::Arguments),
    /// Drop a database for good
    Drop(drop::Arguments),
    /// psql as the superuser, inside the server's container
    Psql(psql::Arguments),
    /// Run the migrations that are missing, with the application's own Alembic
    Migrate(migrate::Arguments),
    /// Make a database anew from its schema; the old one is moved aside and stays
    FreshInstall(install::Arguments),
    /// Put back the database that a fresh install has kept
    Undo(install::UndoArguments),
}

/// Carries it out.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::List => list(session).await,
        Command::Create(arguments) => create::run(session, arguments).await,
        Command::Drop(arguments) => drop::run(session, arguments).await,
        Command::Psql(arguments) => psql::run(session, arguments).await,
        Command::Migrate(arguments) => migrate::run(session, arguments).await,
        Command::FreshInstall(arguments) => install::run(session, arguments).await,
        Command::Undo(arguments) => install::undo(session, arguments).await,
    }
}

/// The server that runs here.
async fn server(session: &Session) -> anyhow::Result<Server> {
    let run = std::process::id().to_string();
    Scene::look(session).await?.server(&run).await
}

/// The databases, one of which must have this name.
async fn existing(server: &Server, name: &str) -> anyhow::Result<Entry> {
    let entries = listing::list(server).await?;
    if let Some(entry) = entries.iter().find(|entry| entry.name == name) {
        return Ok(entry.clone());
    }
    let known: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let failure = Failure::refused(format!("there is no database {name}"));
    Err(failure
        .try_next(format!("one of: {}", known.join(", ")))
        .into())
}

async fn list(session: &Session) -> anyhow::Result<Exit> {
    // Root's alone; whoever may not look sees the rest.
    let left = Journal::all(&session.root).unwrap_or_default();
    let entries = listing::list(&server(session).await?).await?;
    // Whoever may not read platform.env sees the rest.
    let roles = Settings::load(session)
        .map(|settings| settings.app_roles)
        .unwrap_or_default();
    let users = |database: &str| -> Vec<&str> {
        let ours = roles.iter().filter(|role| role.database == database);
        ours.map(|role| role.user.as_str()).collect()
    };
    let rows: Vec<serde_json::Value> = entries
        .iter()
        .map(|entry| {
            let mut row = serde_json::json!(entry);
            row["roles"] = users(&entry.name).into();
            row
        })
        .collect();
    session.output.result(
        "databases",
        &serde_json::json!({"databases": rows, "cut_short": left}),
        || {
            let mut table = comfy_table::Table::new();
            table.load_preset(comfy_table::presets::NOTHING);
            table.set_header(["DATABASE", "OWNER", "SIZE", "SESSIONS", "ROLES"]);
            for entry in entries.iter().filter(|entry| !entry.kept) {
                let roles = users(&entry.name).join(", ");
                let size = ByteSize(entry.bytes).to_string();
                table.add_row([
                    entry.name.clone(),
                    entry.owner.clone(),
                    size,
                    entry.sessions.to_string(),
                    roles,
                ]);
            }
            let kept = entries.iter().filter(|entry| entry.kept).map(|entry| {
                let Entry { name, bytes, .. } = entry;
                format!(
                    "kept: {name}, {}; to free it: platform-ops db drop {name}\n",
                    ByteSize(*bytes)
                )
            });
            let left = left.iter().map(|left| {
                let (database, hint) = (&left.database, left.hint());
                format!("cut short: a fresh install of {database}; {hint}\n")
            });
            format!(
                "{table}\n{}{}",
                kept.collect::<String>(),
                left.collect::<String>()
            )
        },
    );
    Ok(Exit::OK)
}
