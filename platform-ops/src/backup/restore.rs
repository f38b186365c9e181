//! Brings a database back: beside the live one, compared, then swapped. Nothing is restored in
//! place, and the old one stays.

use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backup::catalog::Catalog;
use crate::backup::check;
use crate::backup::key::Identities;
use crate::backup::listing::Set;
use crate::backup::manifest::Database;
use crate::backup::open::Opener;
use crate::backup::pooler::Pooler;
use crate::backup::progress::Progress;
use crate::backup::psql::{identifier, literal};
use crate::backup::server::Server;
use crate::backup::store::Store;
use crate::backup::swap::{limited, swap};
use crate::backup::target::Target;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Action, Consent, Effect, Plan};
use crate::session::Session;

/// What all steps of one restore share.
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
    fn opener<'a>(&'a self, progress: &'a Progress) -> Opener<'a> {
        Opener {
            store: &self.store,
            manifest: &self.set.manifest,
            identities: &self.identities,
            progress,
        }
    }

    fn database(&self, name: &str) -> anyhow::Result<&Database> {
        let mut all = self.set.manifest.databases.iter();
        all.find(|database| database.name == name).with_context(|| {
            let names: Vec<&str> = self
                .set
                .manifest
                .databases
                .iter()
                .map(|database| database.name.as_str())
                .collect();
            Failure::new(
                Exit::NOTHING_TO_RESTORE,
                format!("set {} holds no database {name}", self.set.id()),
            )
            .try_next(format!("one of: {}", names.join(", ")))
        })
    }
}

/// A step of a restore.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Step {
    /// Compares every byte that will be used.
    Verify {
        /// The database.
        database: String,
        /// What is shared.
        #[serde(skip)]
        scene: Arc<Scene>,
    },
    /// Makes roles that are missing.
    Roles {
        /// What is shared.
        #[serde(skip)]
        scene: Arc<Scene>,
    },
    /// Restores into a database beside the live one, and compares.
    Side {
        /// The database.
        database: String,
        /// The one that is made.
        side: String,
        /// What is shared.
        #[serde(skip)]
        scene: Arc<Scene>,
    },
    /// Puts one database in another's place.
    Swap {
        /// The database.
        database: String,
        /// The one that takes its place.
        side: String,
        /// What the live one is called from then on; none when there is no live one.
        kept: Option<String>,
        /// What is shared.
        #[serde(skip)]
        scene: Arc<Scene>,
    },
}

impl Action for Step {
    fn summary(&self) -> String {
        match self {
            Self::Verify { database, .. } => format!("compare every byte of {database} in the set"),
            Self::Roles { .. } => "make the set's roles that are missing".to_owned(),
            Self::Side { database, side, .. } => {
                format!("restore {database} as {side}, and compare it with the set")
            }
            Self::Swap {
                database,
                side,
                kept: None,
                ..
            } => {
                format!("rename {side} to {database}")
            }
            Self::Swap {
                database,
                side,
                kept: Some(kept),
                ..
            } => format!(
                "end all sessions of {database}, rename it to {kept} and {side} to {database}"
            ),
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Verify { .. } => Effect::Check,
            Self::Roles { .. } | Self::Side { .. } => Effect::Create,
            Self::Swap { .. } => Effect::Change,
        }
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Verify { database, scene } => {
                let database = scene.database(database)?;
                let object = scene.set.manifest.object(&database.object)?;
                let progress = Progress::begin(session.output, "verify", object.bytes, false);
                scene.opener(&progress).check(object).await
            }
            Self::Roles { scene } => {
                let progress = Progress::silent();
                scene.target.globals(&scene.opener(&progress)).await
            }
            Self::Side {
                database,
                side,
                scene,
            } => {
                let made = restore_beside(scene, database, side, session).await;
                if made.is_err() {
                    let sql = format!("drop database if exists {};\n", identifier(side));
                    let _ = scene.target.server.script("postgres", &sql).await;
                }
                made
            }
            Self::Swap {
                database,
                side,
                kept,
                scene,
            } => {
                swap(
                    &scene.target.server,
                    scene.pooler.as_ref(),
                    database,
                    side,
                    kept.as_deref(),
                )
                .await
            }
        }
    }
}

async fn restore_beside(
    scene: &Scene,
    database: &str,
    side: &str,
    session: &Session,
) -> anyhow::Result<()> {
    let database = scene.database(database)?;
    let progress = Progress::begin(session.output, side, 0, false);
    let server = &scene.target.server;
    scene
        .target
        .restore(&scene.opener(&progress), &scene.catalog, database, side)
        .await?;
    let belongings = scene.catalog.of(&database.name);
    let mut findings = check::compare(server, side, database, belongings).await?;
    if check::grants(server, side).await? != database.grants {
        findings
            .wrong
            .push("grants on schemas or tables differ".to_owned());
    }
    if findings.wrong.is_empty() {
        return Ok(());
    }
    let what = format!(
        "what was restored is not what was saved: {}",
        findings.wrong.join("; ")
    );
    Err(Failure::new(Exit::VERIFICATION_FAILED, what).into())
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
struct Behind {
    bytes: Option<i64>,
}

/// The plan of restoring one database; `to` keeps it beside the live one under that name.
///
/// # Errors
/// When the set does not hold it, or the server lacks what it needs.
pub async fn plan(
    scene: Arc<Scene>,
    database: &str,
    to: Option<&str>,
) -> anyhow::Result<Plan<Step>> {
    let wanted = scene.database(database)?;
    let server = &scene.target.server;
    require_extensions(server, wanted).await?;
    let all = "select datname as name from pg_database";
    let there: Vec<Name> = server.rows("postgres", all).await?;
    let is_there = |name: &str| there.iter().any(|other| other.name == name);
    let stamp = Timestamp::now().strftime("%Y%m%d%H%M%S").to_string();
    let side = match to {
        Some(name) if is_there(name) => {
            return Err(Failure::refused(format!("there is a database {name} already")).into());
        }
        Some(name) => name.to_owned(),
        None => limited(database, &format!("__restore_{stamp}")),
    };
    let mut plan = Plan::new("restore");
    plan.push(Step::Verify {
        database: database.to_owned(),
        scene: scene.clone(),
    });
    plan.push(Step::Roles {
        scene: scene.clone(),
    });
    plan.push(Step::Side {
        database: database.to_owned(),
        side: side.clone(),
        scene: scene.clone(),
    });
    plan.note(format!(
        "set {} of {}, {}",
        scene.set.id(),
        scene.set.manifest.created,
        if scene.set.is_proven() {
            "proven by a drill"
        } else {
            "never proven by a drill"
        }
    ));
    if to.is_some() {
        return Ok(plan);
    }
    let kept = is_there(database).then(|| limited(database, &format!("__before_{stamp}")));
    if let Some(kept) = &kept {
        for note in discarded(&scene, wanted).await? {
            plan.note(note);
        }
        plan.note(format!(
            "undo: platform-ops restore undo {database} --kept {kept}"
        ));
        plan.require(Consent::Name(database.to_owned()));
    }
    plan.push(Step::Swap {
        database: database.to_owned(),
        side,
        kept,
        scene,
    });
    Ok(plan)
}

async fn require_extensions(server: &Server, wanted: &Database) -> anyhow::Result<()> {
    let sql = "select name from pg_available_extensions";
    let available: Vec<Name> = server.rows("postgres", sql).await?;
    let is_missing = |name: &str| !available.iter().any(|other| other.name == name);
    let missing: Vec<&str> = wanted
        .extensions
        .iter()
        .map(|extension| extension.name.as_str())
        .filter(|name| is_missing(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!(
        "this server's image lacks extensions that {} needs: {}",
        wanted.name,
        missing.join(", ")
    );
    Err(Failure::refused(what)
        .try_next("the image that the set names: platform-ops backup show")
        .into())
}

/// What was written since the set, and will be only in the database that is kept.
async fn discarded(scene: &Scene, wanted: &Database) -> anyhow::Result<Vec<String>> {
    let server = &scene.target.server;
    let cluster = server.cluster().await?;
    let mut notes = vec![format!(
        "what {} was given since {} is discarded (it stays in the database that is kept)",
        wanted.name, scene.set.manifest.created
    )];
    if cluster.system_identifier == scene.set.manifest.cluster.system_identifier {
        let sql = format!(
            "select pg_wal_lsn_diff(pg_current_wal_lsn(), {})::bigint as bytes",
            literal(&wanted.lsn)
        );
        let behind: Vec<Behind> = server.rows("postgres", &sql).await?;
        if let Some(bytes) = behind.first().and_then(|row| row.bytes) {
            notes.push(format!(
                "the server wrote {bytes} bytes of log since then, of all databases"
            ));
        }
    }
    Ok(notes)
}
