//! `restore`: a database beside the live one, compared, then swapped.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;

use crate::backup::key::Identities;
use crate::backup::listing::{Listing, Set};
use crate::backup::open::Opener;
use crate::backup::pooler::Pooler;
use crate::backup::progress::Progress;
use crate::backup::redis_restore;
use crate::backup::restore::{self, Scene as Shared};
use crate::backup::store::Store;
use crate::backup::swap;
use crate::backup::target::{Target, read_catalog};
use crate::command::backup::{Scene, identities};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops restore database trading_db --identity key.txt --dry-run
  platform-ops restore database trading_db --identity key.txt --confirm trading_db
  platform-ops restore database trading_db --as trading_copy --identity key.txt
  platform-ops restore redis --identity key.txt --confirm redis
  platform-ops restore undo trading_db --kept trading_db__before_20260102030405 --confirm trading_db

Nothing is restored in place: the set is compared byte by byte, restored beside the live database,
compared again, and only then put in its place. The old one stays, refusing connections.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Restore a database
    Database(DatabaseArguments),
    /// Put back the database that a restore has kept
    Undo(UndoArguments),
    /// Restore Redis; its files of now are set aside
    Redis(From),
}

/// Which set, and how to open it.
#[derive(Debug, clap::Args)]
struct From {
    /// The set, or `latest`: the latest proven one
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
    #[arg(long, default_value_t = 2, value_name = "N")]
    jobs: usize,
}

#[derive(Debug, clap::Args)]
struct UndoArguments {
    /// The database
    database: String,
    /// The one that was kept
    #[arg(long, value_name = "NAME")]
    kept: String,
}

/// Runs a `restore` command.
///
/// # Errors
/// What made it fail; the live database is then as it was.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Database(arguments) => database(session, arguments).await,
        Command::Undo(arguments) => undo(session, arguments).await,
        Command::Redis(from) => redis(session, from).await,
    }
}

async fn database(session: &Session, arguments: &DatabaseArguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("restore database")?;
    let scene = Scene::look(session).await?;
    let (store, set, identities) = arguments.from.open(session, &scene).await?;
    let progress = Progress::silent();
    let opener = Opener {
        store: &store,
        manifest: &set.manifest,
        identities: &identities,
        progress: &progress,
    };
    let catalog = read_catalog(&opener).await?;
    let shared = Shared {
        target: Target {
            server: scene.server(&std::process::id().to_string()).await?,
            jobs: arguments.jobs,
        },
        pooler: Pooler::find(session).await?,
        store,
        set,
        identities,
        catalog,
    };
    let plan = restore::plan(
        Arc::new(shared),
        &arguments.database,
        arguments.name.as_deref(),
    )
    .await?;
    plan.carry_out(session).await
}

impl From {
    /// The set, where it is, and the keys to open it.
    async fn open(
        &self,
        session: &Session,
        scene: &Scene,
    ) -> anyhow::Result<(Store, Set, Identities)> {
        let store = scene.store(session, self.from.as_deref()).await?;
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
    let redis = scene.redis().await?.context("Redis does not run here")?;
    let (store, set, identities) = from.open(session, &scene).await?;
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
        Pooler::find(session).await?,
        &arguments.database,
        &arguments.kept,
    )
    .await?;
    plan.carry_out(session).await
}
