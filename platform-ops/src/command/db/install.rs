//! `db fresh-install` and `db undo`.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::backup::pooler::Pooler;
use crate::backup::swap;
use crate::database::alembic::Verb;
use crate::database::install::{self, PutBack, Request};
use crate::database::journal::Journal;
use crate::database::listing;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::settings::Settings;
use crate::side_name::Side;

/// Arguments of `db fresh-install`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops db fresh-install trading_db --dry-run
  platform-ops db fresh-install trading_db --confirm trading_db
  platform-ops db fresh-install trading_db --init schema.sql --migrate upgrade --confirm trading_db

What it does, in this order: an owner role that nobody logs in as; a new database with the old one's
extensions; the pooler's clients wait; old and new change names in one transaction; the schema
(apps/NAME/init.sql) up to the first error, in one transaction unless it holds its own; the manual's
grants, and the same for what comes later; the application's migrator; the clients go on.

Whatever fails, and Ctrl-C, puts the old database back. After a kill the same command goes on, and
`platform-ops db undo` goes back. The old database stays until it is dropped: `db list` shows it.")]
pub struct Arguments {
    /// The database
    database: String,
    /// The schema, instead of init.sql in the application's folder
    #[arg(long, value_name = "FILE", conflicts_with = "no_init")]
    init: Option<PathBuf>,
    /// No schema: the migrator makes everything
    #[arg(long)]
    no_init: bool,
    /// A login role that uses it, instead of platform.env's
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// The role that owns it, instead of the one named after it
    #[arg(long, value_name = "ROLE")]
    owner: Option<String>,
    /// An extension, instead of those of the old database
    #[arg(long = "extension", value_name = "NAME")]
    extensions: Vec<String>,
    /// The application, where platform.env does not say it
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// Its service that has Alembic [default: migrator, where there is one]
    #[arg(long, value_name = "SERVICE")]
    migrator: Option<String>,
    /// What the migrator is told
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    migrate: Migrate,
}

/// What the migrator is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Migrate {
    /// `stamp head` where the schema left tables without a revision, else `upgrade head`
    #[default]
    Auto,
    /// `alembic upgrade head`: run what is missing
    Upgrade,
    /// `alembic stamp head`: nothing is missing
    Stamp,
    /// Nothing
    No,
}

/// Arguments of `db undo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops db undo trading_db --dry-run
  platform-ops db undo trading_db --confirm trading_db

The newest database that was kept takes its place again, in one transaction while the pooler's
clients wait; the one that goes stays beside it. A fresh install that was cut short is undone.")]
pub struct UndoArguments {
    /// The database
    database: String,
    /// The one that was kept [default: the newest]
    #[arg(long, value_name = "NAME")]
    kept: Option<String>,
}

/// Makes a database anew.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("db fresh-install")?;
    let settings = Settings::load(session)?;
    let server = super::server(session).await?;
    let request = Request {
        database: arguments.database.clone(),
        roles: arguments.roles.clone(),
        owner: arguments.owner.clone(),
        application: arguments.app.clone(),
        script: arguments.init.clone(),
        no_script: arguments.no_init,
        extensions: arguments.extensions.clone(),
        migrator: arguments.migrator.clone(),
        verb: match arguments.migrate {
            Migrate::Upgrade => Some(Verb::Upgrade),
            Migrate::Stamp => Some(Verb::Stamp),
            Migrate::Auto | Migrate::No => None,
        },
        no_migrator: arguments.migrate == Migrate::No,
    };
    let (scene, plan) = install::plan(session, &settings, server, &request).await?;
    install::carry_out(session, &scene, plan).await
}

/// Puts the old one back.
pub async fn undo(session: &Session, arguments: &UndoArguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("db undo")?;
    let database = &arguments.database;
    let server = super::server(session).await?;
    let pooler = Pooler::find(session).await?;
    if let Some(left) = Journal::load(&session.root, database)? {
        return PutBack::plan(left, server, pooler).carry_out(session).await;
    }
    let kept = match &arguments.kept {
        Some(kept) => kept.clone(),
        None => {
            let entries = listing::list(&server).await?;
            let all = entries.into_iter().map(|entry| entry.name);
            // Names end with the moment.
            let newest = all
                .filter(|other| Side::Before.is_of(other, database))
                .max();
            newest.with_context(|| {
                let what = format!("no database was kept for {database}");
                Failure::new(Exit::NOTHING_TO_RESTORE, what).try_next(
                    "platform-ops db list, and --kept NAME; or a backup: platform-ops restore",
                )
            })?
        }
    };
    let plan = swap::undo_plan("db undo", server, pooler, database, Some(&kept)).await?;
    plan.carry_out(session).await
}
