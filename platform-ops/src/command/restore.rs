//! `restore`: what a set holds, beside what lives.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;

use crate::backup::config::Config;
use crate::backup::key::Identities;
use crate::backup::listing::{Listing, Set};
use crate::backup::open::Opener;
use crate::backup::pooler::Pooler;
use crate::backup::progress::Progress;
use crate::backup::redis_restore;
use crate::backup::restore::{self, Scene as Shared, folder};
use crate::backup::store::Store;
use crate::backup::swap;
use crate::backup::target::{Target, read_catalog};
use crate::command::backup::{Scene, identities, open_store};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Jobs of pg_restore, as many as CPUs of a small host.
const JOBS: usize = 2;

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops restore database trading_db --identity key.txt --dry-run
  platform-ops restore database trading_db --identity key.txt --confirm trading_db
  platform-ops restore database trading_db --as trading_copy --identity key.txt
  platform-ops restore table trading_db app.orders --identity key.txt
  platform-ops restore globals --role reader --identity key.txt --yes
  platform-ops restore redis --identity key.txt --confirm redis
  platform-ops restore folder /srv/config --identity key.txt
  platform-ops restore undo trading_db --confirm trading_db

Nothing is restored in place: every byte that is used is compared first, a database is restored beside
the live one, compared again, and only then put in its place. The old one stays, refusing connections.
A run that is killed leaves the old or the new, and the next run removes what it left.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Restore a database
    Database(DatabaseArguments),
    /// Restore single tables, into a new schema beside the live ones
    Table(TableArguments),
    /// Restore roles that are missing; with --role and --database what was changed as well
    Globals(GlobalsArguments),
    /// Restore Redis; its files of now are set aside
    Redis(From),
    /// Restore a folder: at its place where that is free, else beside it, with the differences
    Folder(FolderArguments),
    /// Put back the database that a restore has kept
    Undo(UndoArguments),
}

/// Which set, and how to open it.
#[derive(Debug, clap::Args)]
struct From {
    /// The set, a time (the last set before it), or `latest`: the latest proven one
    #[arg(long, default_value = "latest", value_name = "SET")]
    set: String,
    /// A folder, instead of the configured place
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// The age key that opens the set
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct DatabaseArguments {
    /// The database
    database: String,
    #[command(flatten)]
    from: From,
    /// Leave it beside the live one under this name
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Jobs of pg_restore
    #[arg(long, default_value_t = JOBS, value_name = "N")]
    jobs: usize,
    #[command(flatten)]
    pause: Pause,
}

/// How long the pooler's clients may have to wait.
#[derive(Debug, clap::Args)]
struct Pause {
    /// How long the pooler's clients wait at most; then they go on, and nothing has changed
    #[arg(long, default_value = "20s", value_name = "TIME")]
    pause_max: humantime::Duration,
}

impl Pause {
    async fn pooler(&self, session: &Session) -> anyhow::Result<Option<Pooler>> {
        let pooler = Pooler::find(session).await?;
        Ok(pooler.map(|pooler| pooler.with_pause_max(self.pause_max.into())))
    }
}

#[derive(Debug, clap::Args)]
struct TableArguments {
    /// The database
    database: String,
    /// The tables, as schema.table
    #[arg(required = true, value_name = "TABLE")]
    tables: Vec<String>,
    #[command(flatten)]
    from: From,
}

#[derive(Debug, clap::Args)]
struct GlobalsArguments {
    #[command(flatten)]
    from: From,
    /// Give this role back the set's password, attributes, settings and memberships (repeatable)
    #[arg(long = "role", value_name = "NAME")]
    roles: Vec<String>,
    /// Give this database back the set's grants on it and settings of it (repeatable)
    #[arg(long = "database", value_name = "NAME")]
    databases: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct FolderArguments {
    /// The folder's path, or the last part of it
    folder: String,
    #[command(flatten)]
    from: From,
    /// Where it goes
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct UndoArguments {
    /// The database
    database: String,
    /// The one that was kept; the latest, if none is named
    #[arg(long, value_name = "NAME")]
    kept: Option<String>,
    #[command(flatten)]
    pause: Pause,
}

/// Runs a `restore` command.
///
/// # Errors
/// What made it fail; the live database is then as it was.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Database(arguments) => database(session, arguments).await,
        Command::Table(arguments) => table(session, arguments).await,
        Command::Globals(arguments) => globals(session, arguments).await,
        Command::Redis(from) => redis(session, from).await,
        Command::Folder(arguments) => folder(session, arguments).await,
        Command::Undo(arguments) => undo(session, arguments).await,
    }
}

async fn database(session: &Session, arguments: &DatabaseArguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("restore database")?;
    let pooler = arguments.pause.pooler(session).await?;
    let shared = shared(session, &arguments.from, pooler, arguments.jobs).await?;
    let name = arguments.name.as_deref();
    let plan = restore::database::plan(Arc::new(shared), &arguments.database, name).await?;
    plan.carry_out(session).await
}

async fn table(session: &Session, arguments: &TableArguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("restore table")?;
    let shared = shared(session, &arguments.from, None, JOBS).await?;
    let tables = &arguments.tables;
    let plan = restore::table::plan(Arc::new(shared), &arguments.database, tables).await?;
    plan.carry_out(session).await
}

async fn globals(session: &Session, arguments: &GlobalsArguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("restore globals")?;
    let shared = shared(session, &arguments.from, None, JOBS).await?;
    let plan = restore::globals::plan(shared, &arguments.roles, &arguments.databases).await?;
    plan.carry_out(session).await
}

async fn folder(session: &Session, arguments: &FolderArguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("restore folder")?;
    let config = Config::load(&session.root)?;
    let (store, set, identities) = arguments.from.open(session, &config).await?;
    let scene = folder::Scene {
        store,
        set,
        identities,
    };
    let plan = folder::plan(Arc::new(scene), &arguments.folder, arguments.to.as_deref())?;
    plan.carry_out(session).await
}

/// The server here, and the set.
async fn shared(
    session: &Session,
    from: &From,
    pooler: Option<Pooler>,
    jobs: usize,
) -> anyhow::Result<Shared> {
    let scene = Scene::look(session).await?;
    let (store, set, identities) = from.open(session, &scene.config).await?;
    let progress = Progress::silent();
    let opener = Opener {
        store: &store,
        manifest: &set.manifest,
        identities: &identities,
        progress: &progress,
    };
    let catalog = read_catalog(&opener).await?;
    Ok(Shared {
        target: Target {
            server: scene.server(&std::process::id().to_string()).await?,
            jobs,
        },
        pooler,
        store,
        set,
        identities,
        catalog,
    })
}

impl From {
    /// The set, where it is, and the keys to open it.
    async fn open(
        &self,
        session: &Session,
        config: &Config,
    ) -> anyhow::Result<(Store, Set, Identities)> {
        let store = open_store(session, config, self.from.as_deref()).await?;
        let listing = Listing::read(&store).await?;
        let set = listing.choose(&self.set)?.clone();
        let identities = identities(self.identity.as_deref())?;
        if set.manifest.encryption.is_some() && identities.is_empty() {
            return Err(Failure::usage("the set is encrypted")
                .try_next("--identity FILE with the key that is kept elsewhere")
                .into());
        }
        Ok((store, set, identities))
    }
}

async fn redis(session: &Session, from: &From) -> anyhow::Result<Exit> {
    let _lock = session.lock("restore redis")?;
    let scene = Scene::look(session).await?;
    let redis = scene.redis().await?.with_context(|| {
        Failure::refused("Redis does not run here").try_next("platform-ops up redis")
    })?;
    let (store, set, identities) = from.open(session, &scene.config).await?;
    let name = &redis.container().name;
    let container = session.engine().await?.container(name).await?;
    let shared = redis_restore::Scene {
        container: container.context("Redis's container is gone")?,
        store,
        set,
        identities,
        redis,
    };
    redis_restore::plan(Arc::new(shared))
        .await?
        .carry_out(session)
        .await
}

async fn undo(session: &Session, arguments: &UndoArguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("restore undo")?;
    let scene = Scene::look(session).await?;
    let server = scene.server(&std::process::id().to_string()).await?;
    let plan = swap::undo_plan(
        "restore undo",
        server,
        arguments.pause.pooler(session).await?,
        &arguments.database,
        arguments.kept.as_deref(),
    )
    .await?;
    plan.carry_out(session).await
}
