//! A database made anew: the old one is moved aside and stays.
//!
//! The new one is made under a name of its own and takes the old one's place in one transaction,
//! while the pooler's clients wait; the script runs in it under its final name. A [`Journal`] tells
//! the next run what one that was killed has left. Until the schema is whole, whatever goes wrong
//! puts the old one back.

mod planning;
mod undoing;

pub use planning::{Request, plan};
pub use undoing::{PutBack, put_back};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use serde::Serialize;

use crate::backup::exec;
use crate::backup::pooler::Pooler;
use crate::backup::psql::connection;
use crate::backup::server::Server;
use crate::backup::swap;
use crate::database::access::{self, Access, NewRole};
use crate::database::alembic::{Migrator, State, Verb};
use crate::database::extension;
use crate::database::journal::{Journal, Phase};
use crate::database::script::Script;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Action, Effect, Plan};
use crate::session::Session;
use crate::sql::identifier;

/// What all steps of one fresh install share.
#[derive(Debug)]
pub struct Scene {
    /// The server.
    pub server: Server,
    /// Whose clients wait.
    pub pooler: Option<Pooler>,
    /// Who owns the database and who uses it.
    pub access: Access,
    /// Roles that are to be made.
    pub missing: Vec<NewRole>,
    /// The schema.
    pub script: Option<Script>,
    /// The application's migrator, and what it is told; None: as the database demands.
    pub migrator: Option<(Migrator, Option<Verb>)>,
    /// Names, and how far it came.
    pub journal: Journal,
    /// Whether this run has begun to change something.
    pub begun: AtomicBool,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Undoes what a run that was killed has left.
    PutBack,
    /// Makes owner and roles.
    Roles,
    /// Makes the new database, empty.
    Create,
    /// Lets the pooler's clients wait.
    Pause,
    /// Puts the new one in the old one's place.
    Swap,
    /// Runs the script.
    Script,
    /// Gives everything to its owner, and the roles their privileges.
    Grant,
    /// Runs the migrator.
    Migrate,
    /// Lets the pooler's clients go on.
    Resume,
}

/// A step of a fresh install.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    kind: Kind,
    database: String,
    fresh: String,
    kept: Option<String>,
    #[serde(skip)]
    scene: Arc<Scene>,
}

impl Step {
    fn new(kind: Kind, scene: &Arc<Scene>) -> Self {
        let journal = &scene.journal;
        Self {
            kind,
            database: journal.database.clone(),
            fresh: journal.fresh.clone(),
            kept: journal.kept.clone(),
            scene: scene.clone(),
        }
    }
}

impl Action for Step {
    fn summary(&self) -> String {
        let (scene, database, fresh) = (&self.scene, &self.database, &self.fresh);
        match self.kind {
            Kind::PutBack => {
                format!("put {database} back as it was before the run that was cut short")
            }
            Kind::Roles => scene.access.roles_text(&scene.missing, database),
            Kind::Create => match &scene.journal.extensions[..] {
                [] => format!("create {fresh}, empty"),
                extensions => format!("create {fresh}, empty, with {}", extensions.join(", ")),
            },
            Kind::Pause => format!("pause {database} in PgBouncer: clients wait"),
            Kind::Swap => match &self.kept {
                Some(kept) => format!(
                    "end all sessions of {database}, rename it to {kept} and {fresh} to {database}"
                ),
                None => format!("rename {fresh} to {database}"),
            },
            Kind::Script => match &scene.script {
                Some(script) if script.is_one_transaction() => {
                    format!(
                        "run {} in one transaction ({} statements)",
                        script.path.display(),
                        script.statements
                    )
                }
                Some(script) => format!(
                    "run {} statement by statement, up to the first error",
                    script.path.display()
                ),
                None => "run no script".to_owned(),
            },
            Kind::Grant => format!(
                "give everything to {}, and {} the manual's privileges on it and on what comes later",
                scene.access.owner,
                scene.access.roles.join(", ")
            ),
            Kind::Migrate => match &scene.migrator {
                Some((migrator, Some(verb))) => migrator.text(*verb),
                Some((migrator, None)) => format!(
                    "{}, or stamp head where the script left tables without a revision",
                    migrator.text(Verb::Upgrade)
                ),
                None => "run no migrator".to_owned(),
            },
            Kind::Resume => match scene.pooler {
                Some(_) => format!("let clients of {database} go on"),
                None => format!("{database} is done"),
            },
        }
    }

    fn effect(&self) -> Effect {
        match self.kind {
            Kind::Roles | Kind::Create => Effect::Create,
            Kind::Pause => Effect::Stop,
            Kind::Resume => Effect::Start,
            _ => Effect::Change,
        }
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        let scene = &self.scene;
        let database = &self.database;
        scene.begun.store(true, Ordering::Relaxed);
        match self.kind {
            Kind::PutBack => {
                let Some(left) = Journal::load(&session.root, database)? else {
                    return Ok(());
                };
                put_back(session, &scene.server, scene.pooler.as_ref(), &left).await
            }
            Kind::Roles => access::make_roles(&scene.server, &scene.access, &scene.missing).await,
            Kind::Create => {
                scene.journal.save(&session.root)?;
                scene.create().await
            }
            Kind::Pause => match &scene.pooler {
                Some(pooler) => pooler.pause(database).await,
                None => Ok(()),
            },
            Kind::Swap => {
                let kept = self.kept.as_deref();
                swap::rename(&scene.server, database, &self.fresh, kept).await
            }
            Kind::Script => scene.run_script().await,
            Kind::Grant => {
                scene.grant().await?;
                let built = Journal {
                    phase: Phase::Built,
                    ..scene.journal.clone()
                };
                built.save(&session.root)
            }
            Kind::Migrate => scene.migrate(session).await,
            Kind::Resume => {
                if let Some(pooler) = &scene.pooler {
                    pooler.resume(database).await?;
                }
                scene.journal.remove(&session.root)
            }
        }
    }
}

impl Scene {
    async fn create(&self) -> anyhow::Result<()> {
        let fresh = &self.journal.fresh;
        let (name, owner) = (identifier(fresh), identifier(&self.access.owner));
        // An application that goes past the pooler must not find it half made; superusers may.
        let sql = format!(
            "drop database if exists {name};\ncreate database {name} owner {owner} connection limit 0;\n{}",
            self.access.database_sql(fresh)
        );
        self.server.script("postgres", &sql).await?;
        extension::create(&self.server, fresh, &self.journal.extensions).await
    }

    async fn run_script(&self) -> anyhow::Result<()> {
        let Some(script) = &self.script else {
            return Ok(());
        };
        let mut command = ["psql", "-XAtqw", "-v", "ON_ERROR_STOP=1"]
            .map(str::to_owned)
            .to_vec();
        if script.is_one_transaction() {
            command.push("-1".to_owned());
        }
        command.extend(["-f".to_owned(), "-".to_owned(), "-d".to_owned()]);
        command.push(connection(&self.journal.database));
        let program = self.server.place().program(command);
        let ran = exec::text(self.server.docker(), program, script.text.as_bytes()).await;
        ran.map(drop)
            .with_context(|| format!("run {}", script.path.display()))
    }

    async fn grant(&self) -> anyhow::Result<()> {
        let database = &self.journal.database;
        let superuser = &self.server.place().user;
        self.server
            .script(database, &self.access.objects_sql(superuser))
            .await?;
        let open = format!(
            "alter database {} connection limit -1;\n",
            identifier(database)
        );
        self.server.script("postgres", &open).await
    }

    async fn migrate(&self, session: &Session) -> anyhow::Result<()> {
        let Some((migrator, verb)) = &self.migrator else {
            return Ok(());
        };
        let database = &self.journal.database;
        let before = State::of(&self.server, database).await?;
        let verb = verb.unwrap_or_else(|| before.verb());
        session.output.note(&format!(
            "{database} is {}: {}",
            before.text(),
            migrator.text(verb)
        ));
        let pooler = self.pooler.as_ref();
        let after = migrator
            .run(session, &self.server, pooler, database, verb)
            .await?;
        session
            .output
            .note(&format!("{database} is {}", after.text()));
        Ok(())
    }
}

/// Carries a plan out. Whatever ends it but a kill leaves the old database in its place and the
/// pooler open.
///
/// # Errors
/// What made it fail, and what became of the database.
pub async fn carry_out(session: &Session, scene: &Scene, plan: Plan<Step>) -> anyhow::Result<Exit> {
    let error = match plan.carry_out(session).await {
        Ok(exit) => return Ok(exit),
        Err(error) => error,
    };
    let database = &scene.journal.database;
    let left = match scene.begun.load(Ordering::Relaxed) {
        true => Journal::load(&session.root, database)?,
        false => None,
    };
    let Some(left) = left else {
        return Err(error);
    };
    session.audit.record("put back", database)?;
    match put_back(session, &scene.server, scene.pooler.as_ref(), &left).await {
        Ok(()) => {
            session
                .output
                .note(&format!("{database} is as it was, and its clients go on"));
            Err(error)
        }
        Err(worse) => {
            let worse = session.redactor.clean(&format!("{worse:#}"));
            let what = format!("{database} could not be put back: {worse}");
            let failure = Failure::new(Exit::FAILED, what).try_next(format!(
                "platform-ops db undo {database} --confirm {database}"
            ));
            Err(error.context(failure))
        }
    }
}
