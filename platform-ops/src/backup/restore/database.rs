//! A database comes back beside the live one, is compared, then swapped.

use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use super::discarded::discarded;
use super::preparation::{self, Preparation};
use super::{Scene, drop_side};
use crate::backup::check;
use crate::backup::psql::connection;
use crate::backup::swap::{neighbour, swap};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Action, Consent, Effect, Plan};
use crate::session::Session;
use crate::side_name::{self, Side};

/// A step of a restore.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Step {
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
        /// The name it gets.
        database: String,
        /// The one that takes its place.
        side: String,
        /// What the live one is called from then on; none when there is no live one.
        kept: Option<String>,
        /// What is shared.
        #[serde(skip)]
        scene: Arc<Scene>,
    },
    /// What comes first.
    #[serde(untagged)]
    Before(Preparation),
}

impl Action for Step {
    fn summary(&self) -> String {
        match self {
            Self::Before(step) => step.summary(),
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
            Self::Before(step) => step.effect(),
            Self::Side { .. } => Effect::Create,
            Self::Swap { .. } => Effect::Change,
        }
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Before(step) => step.apply(session).await,
            Self::Side {
                database,
                side,
                scene,
            } => {
                let made = tokio::select! {
                    made = restore_beside(scene, database, side) => made,
                    () = session.interrupt.wait() => Err(session.interrupt.failure().into()),
                };
                if made.is_err() {
                    let _ = drop_side(&scene.target.server, side).await;
                }
                let removed = scene.target.remove_files().await;
                made.and(removed)
            }
            Self::Swap {
                database,
                side,
                kept,
                scene,
            } => {
                let server = &scene.target.server;
                let swapped = swap(
                    server,
                    scene.pooler.as_ref(),
                    database,
                    side,
                    kept.as_deref(),
                )
                .await;
                if swapped.is_err() {
                    let _ = drop_side(server, side).await;
                }
                swapped
            }
        }
    }
}

async fn restore_beside(scene: &Scene, database: &str, side: &str) -> anyhow::Result<()> {
    let database = scene.database(database)?;
    let target = &scene.target;
    let server = &target.server;
    let belongings = target.create(&scene.catalog, database, side).await?;
    let file = crate::backup::target::file_of(database);
    target
        .fill(side, &file, None)
        .await
        .with_context(|| format!("restore {} as {side}", database.name))?;
    let from = neighbour(side);
    server.script(from, &belongings.apply_sql(side)).await?;
    // A dump holds no statistics, and without any the first queries would take bad plans.
    let jobs = format!("--jobs={}", target.jobs.max(1));
    let analyze = [
        "vacuumdb",
        "-wq",
        "--analyze-only",
        &jobs,
        "-d",
        &connection(side),
    ];
    let analyze = server.place().program(analyze);
    let (mut findings, grants, _) = tokio::try_join!(
        check::compare(server, side, database, Some(belongings)),
        check::grants(server, side),
        crate::backup::exec::text(server.docker(), analyze, b""),
    )?;
    if grants != database.grants {
        findings
            .wrong
            .push("grants on schemas or tables differ".to_owned());
    }
    if !findings.wrong.is_empty() {
        let what = format!(
            "what was restored is not what was saved: {}",
            findings.wrong.join("; ")
        );
        return Err(Failure::new(Exit::VERIFICATION_FAILED, what).into());
    }
    Ok(())
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
    let target = &scene.target;
    preparation::require(&scene, wanted).await?;
    let there = target
        .names("select datname as name from pg_database")
        .await?;
    if let Some(name) = to.filter(|name| there.contains(*name)) {
        return Err(Failure::refused(format!("there is a database {name} already")).into());
    }
    let stamp = side_name::stamp(there.iter().map(String::as_str))?;
    let name = to.unwrap_or(database).to_owned();
    let side = Side::Restore.name(&name, &stamp);
    let mut plan = Plan::new("restore");
    for step in preparation::steps(&scene, wanted).await? {
        plan.push(Step::Before(step));
    }
    plan.push(Step::Side {
        database: database.to_owned(),
        side: side.clone(),
        scene: scene.clone(),
    });
    plan.note(scene.origin());
    let kept = there
        .contains(&name)
        .then(|| Side::Before.name(&name, &stamp));
    if let Some(kept) = &kept {
        for note in discarded(&scene, wanted).await? {
            plan.note(note);
        }
        plan.note(format!(
            "undo: platform-ops restore undo {name} --kept {kept}; it takes room until it is dropped"
        ));
        if let Some(pooler) = &scene.pooler {
            let seconds = pooler.pause_max().as_secs();
            plan.note(format!(
                "clients of the pooler wait for the swap, {seconds} s at most"
            ));
        }
        plan.require(Consent::Name(name.clone()));
    }
    plan.push(Step::Swap {
        database: name,
        side,
        kept,
        scene,
    });
    Ok(plan)
}
