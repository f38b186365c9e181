//! Roles, grants and settings come back: what is missing, and what is asked for by name.

use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use super::Scene;
use crate::backup::catalog::Catalog;
use crate::backup::exec;
use crate::backup::globals::Globals;
use crate::backup::progress::Progress;
use crate::backup::target::read_globals;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Action, Consent, Effect, Plan};
use crate::session::Session;

/// What all steps share.
#[derive(Debug)]
pub struct Shared {
    scene: Scene,
    globals: Globals,
}

/// A step of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Step {
    /// Makes roles that are missing.
    Missing {
        /// The roles.
        roles: Vec<String>,
        /// What is shared.
        #[serde(skip)]
        shared: Arc<Shared>,
    },
    /// Gives a role that is there what the set has of it.
    Role {
        /// The role.
        role: String,
        /// What is shared.
        #[serde(skip)]
        shared: Arc<Shared>,
    },
    /// Gives a database that is there the set's grants on it and settings of it.
    Database {
        /// The database.
        database: String,
        /// What is shared.
        #[serde(skip)]
        shared: Arc<Shared>,
    },
}

impl Action for Step {
    fn summary(&self) -> String {
        match self {
            Self::Missing { roles, .. } => format!("make roles: {}", roles.join(", ")),
            Self::Role { role, .. } => {
                format!("give role {role} the set's password, attributes, settings, memberships")
            }
            Self::Database { database, .. } => {
                format!("give database {database} the set's grants, settings and comment")
            }
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Missing { .. } => Effect::Create,
            Self::Role { .. } | Self::Database { .. } => Effect::Change,
        }
    }

    async fn apply(&self, _session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Missing { shared, .. } => {
                let progress = Progress::silent();
                let scene = &shared.scene;
                scene.target.globals(&scene.opener(&progress)).await
            }
            Self::Role { role, shared } => {
                let sql = format!("begin;\n{}commit;\n", shared.globals.of_role(role));
                let server = &shared.scene.target.server;
                server.script("postgres", &sql).await
            }
            Self::Database { database, shared } => {
                let scene = &shared.scene;
                let belongings = scene.catalog.of(database).context("gone from the set")?;
                let sql = format!("begin;\n{}commit;\n", belongings.apply_sql(database));
                scene.target.server.script("postgres", &sql).await
            }
        }
    }
}

/// The plan: roles that are missing; `roles` and `databases` by name get back what the set has of them.
///
/// # Errors
/// When the set does not hold what is named.
pub async fn plan(
    scene: Scene,
    roles: &[String],
    databases: &[String],
) -> anyhow::Result<Plan<Step>> {
    let progress = Progress::silent();
    let opener = scene.opener(&progress);
    for object in scene.small_objects()? {
        opener.check(object).await?;
    }
    let globals = read_globals(&opener).await?;
    let target = &scene.target;
    let there = target.names("select rolname as name from pg_roles").await?;
    let is_missing = |role: &&str| !there.contains(*role);
    let missing: Vec<String> = globals
        .roles()
        .into_iter()
        .filter(is_missing)
        .map(str::to_owned)
        .collect();
    let dump = target
        .server
        .place()
        .program(["pg_dumpall", "-w", "--globals-only"]);
    let now = Globals::parse(&exec::text(target.server.docker(), dump, b"").await?);
    let live = Catalog::read(&target.server).await?;
    let mut plan = Plan::new("restore globals");
    plan.note(scene.origin());
    for note in differences(&scene, [&globals, &now], &live, roles, databases) {
        plan.note(note);
    }
    require_known(&scene, &globals, &live, roles, databases)?;
    let shared = Arc::new(Shared { globals, scene });
    let reset: Vec<&String> = roles
        .iter()
        .filter(|role| !missing.contains(role))
        .collect();
    if !reset.is_empty() || !databases.is_empty() {
        plan.require(Consent::Yes);
    }
    if !missing.is_empty() {
        plan.push(Step::Missing {
            roles: missing.clone(),
            shared: shared.clone(),
        });
    }
    for role in reset {
        plan.push(Step::Role {
            role: role.clone(),
            shared: shared.clone(),
        });
    }
    for database in databases {
        plan.push(Step::Database {
            database: database.clone(),
            shared: shared.clone(),
        });
    }
    Ok(plan)
}

/// What lives and is other than in the set, and is not asked for.
fn differences(
    scene: &Scene,
    [then, now]: [&Globals; 2],
    live: &Catalog,
    roles: &[String],
    databases: &[String],
) -> Vec<String> {
    let mut notes = Vec::new();
    for role in then.differing(now) {
        if !roles.iter().any(|asked| asked == role) {
            notes.push(format!(
                "role {role} is another than in the set: left as it is, without --role {role}"
            ));
        }
    }
    for saved in &scene.catalog.databases {
        let differs = live.of(&saved.name).is_some_and(|now| now != saved);
        if differs && !databases.contains(&saved.name) {
            let name = &saved.name;
            notes.push(format!(
                "owner, grants or settings of database {name} are others than in the set: left as they are, without --database {name}"
            ));
        }
    }
    notes
}

fn require_known(
    scene: &Scene,
    globals: &Globals,
    live: &Catalog,
    roles: &[String],
    databases: &[String],
) -> anyhow::Result<()> {
    for role in roles {
        if !globals.roles().contains(&role.as_str()) {
            return Err(absent(scene, "role", role).into());
        }
    }
    for database in databases {
        if scene.catalog.of(database).is_none() || live.of(database).is_none() {
            return Err(absent(scene, "database", database).into());
        }
    }
    Ok(())
}

fn absent(scene: &Scene, kind: &str, name: &str) -> Failure {
    let what = format!(
        "{kind} {name} is not both here and in set {}",
        scene.set.id()
    );
    Failure::new(Exit::NOTHING_TO_RESTORE, what)
}
