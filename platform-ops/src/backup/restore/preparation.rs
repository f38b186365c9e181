//! What comes before anything of a database is restored, whole or in part.

use std::sync::Arc;

use serde::Serialize;

use super::{Scene, drop_side, left_over};
use crate::backup::manifest::Database;
use crate::backup::progress::Progress;
use crate::failure::Failure;
use crate::plan::{Action, Effect};
use crate::session::Session;

/// A step of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Preparation {
    /// Drops what restores that were killed have left half made.
    Sweep {
        /// The databases.
        databases: Vec<String>,
        /// What is shared.
        #[serde(skip)]
        scene: Arc<Scene>,
    },
    /// Compares every byte that will be used.
    Fetch {
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
}

impl Action for Preparation {
    fn summary(&self) -> String {
        match self {
            Self::Sweep { databases, .. } => {
                let names = databases.join(", ");
                format!("drop what killed restores left half made: {names}")
            }
            Self::Fetch { database, .. } => {
                format!("compare every byte of {database} in the set, and lay it ready")
            }
            Self::Roles { .. } => "make the set's roles that are missing".to_owned(),
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Sweep { .. } => Effect::Destroy,
            Self::Fetch { .. } => Effect::Check,
            Self::Roles { .. } => Effect::Create,
        }
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Sweep { databases, scene } => {
                for side in databases {
                    drop_side(&scene.target.server, side).await?;
                }
                Ok(())
            }
            Self::Fetch { database, scene } => {
                scene.target.remove_files().await?;
                scene.fetch(database, session).await
            }
            Self::Roles { scene } => {
                let progress = Progress::silent();
                scene.target.globals(&scene.opener(&progress)).await
            }
        }
    }
}

/// The server has what the database needs, and room for it beside the live one.
///
/// # Errors
/// When it has not.
pub async fn require(scene: &Scene, wanted: &Database) -> anyhow::Result<()> {
    require_extensions(scene, wanted).await?;
    let object = scene.manifest().object(&wanted.object)?;
    let bytes = object.plain_bytes;
    scene.target.require_room(wanted.bytes, bytes).await
}

/// The steps, in their order.
///
/// # Errors
/// When the server cannot be asked.
pub async fn steps(scene: &Arc<Scene>, wanted: &Database) -> anyhow::Result<Vec<Preparation>> {
    let mut steps = Vec::new();
    let databases = left_over(&scene.target).await?;
    if !databases.is_empty() {
        let scene = scene.clone();
        steps.push(Preparation::Sweep { databases, scene });
    }
    steps.push(Preparation::Fetch {
        database: wanted.name.clone(),
        scene: scene.clone(),
    });
    steps.push(Preparation::Roles {
        scene: scene.clone(),
    });
    Ok(steps)
}

async fn require_extensions(scene: &Scene, wanted: &Database) -> anyhow::Result<()> {
    let sql = "select name from pg_available_extensions";
    let available = scene.target.names(sql).await?;
    let names = wanted.extensions.iter().map(|extension| &extension.name);
    let missing: Vec<&str> = names
        .filter(|name| !available.contains(*name))
        .map(String::as_str)
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
