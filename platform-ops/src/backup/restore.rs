//! Brings back what a set holds, beside what lives: every byte that is used is compared first, nothing
//! is restored in place, and what was there stays.

mod contents;
pub mod database;
mod discarded;
pub mod folder;
pub mod globals;
mod preparation;
pub mod table;

use anyhow::Context as _;

use crate::backup::catalog::{self, Catalog};
use crate::backup::create::GLOBALS;
use crate::backup::key::Identities;
use crate::backup::listing::Set;
use crate::backup::manifest::{Database, Manifest, Object};
use crate::backup::open::Opener;
use crate::backup::pooler::Pooler;
use crate::backup::progress::Progress;
use crate::backup::server::Server;
use crate::backup::store::Store;
use crate::backup::swap::neighbour;
use crate::backup::target::{Target, object_of};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::side_name::Side;
use crate::sql::identifier;

/// What all steps of one restore to the server share.
#[derive(Debug)]
pub struct Scene {
    /// The server.
    pub target: Target,
    /// Where the set is.
    pub store: Store,
    /// The set.
    pub set: Set,
    /// Keys to open it.
    pub identities: Identities,
    /// Owners, grants and settings.
    pub catalog: Catalog,
    /// Whose clients have to wait.
    pub pooler: Option<Pooler>,
}

impl Scene {
    fn manifest(&self) -> &Manifest {
        &self.set.manifest
    }

    fn opener<'a>(&'a self, progress: &'a Progress) -> Opener<'a> {
        Opener {
            store: &self.store,
            manifest: &self.set.manifest,
            identities: &self.identities,
            progress,
        }
    }

    fn database(&self, name: &str) -> anyhow::Result<&Database> {
        let mut all = self.manifest().databases.iter();
        all.find(|database| database.name == name).with_context(|| {
            let all = self.manifest().databases.iter();
            let names: Vec<&str> = all.map(|database| database.name.as_str()).collect();
            Failure::new(
                Exit::NOTHING_TO_RESTORE,
                format!("set {} holds no database {name}", self.set.id()),
            )
            .try_next(format!("one of: {}", names.join(", ")))
        })
    }

    /// What is needed besides the dump: roles, owners, grants, settings.
    fn small_objects(&self) -> anyhow::Result<[&Object; 2]> {
        Ok([
            object_of(self.manifest(), GLOBALS)?,
            object_of(self.manifest(), catalog::OBJECT)?,
        ])
    }

    /// Compares every byte that a restore of this database uses; its dump lies in the server's
    /// container then. Nothing else was touched.
    async fn fetch(&self, database: &str, session: &Session) -> anyhow::Result<()> {
        let database = self.database(database)?;
        let object = self.manifest().object(&database.object)?;
        let progress = Progress::begin(session.output, "fetch", object.bytes, false);
        let opener = self.opener(&progress);
        let fetched = async {
            for object in self.small_objects()? {
                opener.check(object).await?;
            }
            self.target.put(&opener, database).await
        };
        let fetched = tokio::select! {
            fetched = fetched => fetched.map(drop),
            () = session.interrupt.wait() => Err(session.interrupt.failure().into()),
        };
        if fetched.is_err() {
            // The first error is the one that tells.
            let _ = self.target.remove_files().await;
        }
        fetched
    }

    /// A line for the plan: which set this is of.
    fn origin(&self) -> String {
        let proven = match self.set.is_proven() {
            true => "proven by a drill",
            false => "never proven by a drill",
        };
        let created = self.manifest().created;
        format!("set {} of {created}, {proven}", self.set.id())
    }
}

/// Half-made databases of restores that were killed.
async fn left_over(target: &Target) -> anyhow::Result<Vec<String>> {
    let all = target
        .names("select datname as name from pg_database")
        .await?;
    Ok(all
        .into_iter()
        .filter(|name| Side::Restore.is(name))
        .collect())
}

async fn drop_side(server: &Server, side: &str) -> anyhow::Result<()> {
    let sql = format!(
        "drop database if exists {} with (force);\n",
        identifier(side)
    );
    server.script(neighbour(side), &sql).await
}
