//! Alembic: which revision a database is at, and the application's own migrator.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::application;
use crate::backup::pooler::Pooler;
use crate::backup::server::Server;
use crate::container::{LABEL_SERVICE, LABEL_WORKING_DIR};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::sql::identifier;

const LABEL_ONE_OFF: &str = "com.docker.compose.oneoff";
/// How often it is looked whether the migrator waits for the pooler.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// What a database holds, as Alembic sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "revisions")]
pub enum State {
    /// No table at all.
    Empty,
    /// Tables, and no revision: something else made them.
    Unversioned,
    /// At these revisions; more than one where branches meet later.
    At(Vec<String>),
}

/// What the migrator is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Run the migrations that are missing.
    Upgrade,
    /// Note that none is missing.
    Stamp,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Stamp => "stamp",
        }
    }
}

#[derive(Deserialize)]
struct Table {
    schema: String,
    name: String,
}

#[derive(Deserialize)]
struct Revision {
    version_num: String,
}

impl State {
    /// Asks a database.
    ///
    /// # Errors
    /// The server's words.
    pub async fn of(server: &Server, database: &str) -> anyhow::Result<Self> {
        let failed = || format!("ask {database} for its revision");
        let sql = "select n.nspname as schema, c.relname as name from pg_class c \
            join pg_namespace n on n.oid = c.relnamespace \
            where c.relkind in ('r', 'p') and c.relpersistence <> 't' \
            and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' and not exists ( \
              select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid \
              and d.deptype = 'e')";
        let tables: Vec<Table> = server.rows(database, sql).await.with_context(failed)?;
        let mut revisions = Vec::new();
        let (versions, others): (Vec<Table>, Vec<Table>) = tables
            .into_iter()
            .partition(|table| table.name == "alembic_version");
        for table in versions {
            let (schema, name) = (identifier(&table.schema), identifier(&table.name));
            let sql = format!("select version_num from {schema}.{name} order by 1");
            let rows: Vec<Revision> = server.rows(database, &sql).await.with_context(failed)?;
            revisions.extend(rows.into_iter().map(|row| row.version_num));
        }
        Ok(match (revisions.is_empty(), others.is_empty()) {
            (false, _) => Self::At(revisions),
            (true, false) => Self::Unversioned,
            (true, true) => Self::Empty,
        })
    }

    /// What it demands after a full schema was made: `upgrade` would make again what is there
    /// (Alembic's cookbook, "Building an Up to Date Database from Scratch").
    pub fn verb(&self) -> Verb {
        match self {
            Self::Unversioned => Verb::Stamp,
            Self::Empty | Self::At(_) => Verb::Upgrade,
        }
    }

    /// In words.
    pub fn text(&self) -> String {
        match self {
            Self::Empty => "empty".to_owned(),
            Self::Unversioned => "tables without a revision".to_owned(),
            Self::At(revisions) => format!("at {}", revisions.join(", ")),
        }
    }
}

/// An application's service that has Alembic and its migrations.
#[derive(Clone, Debug, Serialize)]
pub struct Migrator {
    /// The application.
    pub application: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The service.
    pub service: String,
}

impl Migrator {
    /// Looks for it; None when the application has no such service and none was asked for.
    ///
    /// # Errors
    /// When there is no such application, or Compose cannot read its files.
    pub async fn find(
        session: &Session,
        application: &str,
        service: Option<&str>,
    ) -> anyhow::Result<Option<Self>> {
        let folder = application::folder(session, application)?;
        let project = application::project(session, folder.clone());
        let wanted = service.unwrap_or("migrator");
        let services = project.hashes(session).await?;
        if services.contains_key(wanted) {
            return Ok(Some(Self {
                application: application.to_owned(),
                folder,
                service: wanted.to_owned(),
            }));
        }
        let Some(service) = service else {
            return Ok(None);
        };
        let known: Vec<&str> = services.keys().map(String::as_str).collect();
        let what = format!("{application} has no service {service}");
        Err(Failure::usage(what)
            .try_next(format!("one of: {}", known.join(", ")))
            .into())
    }

    /// As the operator would type it.
    pub fn text(&self, verb: Verb) -> String {
        let (application, service) = (&self.application, &self.service);
        format!(
            "app run {application} {service} alembic {} head",
            verb.word()
        )
    }

    /// Runs it to its end. A paused pooler that it has to come through is opened.
    ///
    /// # Errors
    /// Its own words; or that the database has no revision afterwards.
    pub async fn run(
        &self,
        session: &Session,
        server: &Server,
        pooler: Option<&Pooler>,
        database: &str,
        verb: Verb,
    ) -> anyhow::Result<State> {
        let project = application::project(session, self.folder.clone());
        let command = ["alembic", verb.word(), "head"];
        let mut arguments = vec!["run", "--rm", "--no-TTY", "--quiet-pull", &self.service];
        arguments.extend(command);
        let mut run = std::pin::pin!(project.output(session, &arguments));
        let mut paused = pooler;
        let ended = loop {
            tokio::select! {
                ended = &mut run => break ended,
                () = tokio::time::sleep(LOOK_AGAIN), if paused.is_some() => {}
            }
            if let Some(pooler) = paused
                && self.waits(session, pooler, database).await?
            {
                let note = format!("{} goes through the pooler: clients go on", self.service);
                session.output.note(&note);
                pooler.resume(database).await?;
                paused = None;
            }
        };
        ended.with_context(|| self.text(verb))?;
        let state = State::of(server, database).await?;
        if matches!(state, State::At(_)) {
            return Ok(state);
        }
        let what = format!(
            "{} ended well, and {database} is {} still: does it connect to another database?",
            self.text(verb),
            state.text()
        );
        Err(Failure::new(Exit::VERIFICATION_FAILED, what).into())
    }

    /// Whether its container is among the clients that a pause holds back.
    async fn waits(
        &self,
        session: &Session,
        pooler: &Pooler,
        database: &str,
    ) -> anyhow::Result<bool> {
        let waiting = pooler.waiting(database).await?;
        if waiting.is_empty() {
            return Ok(false);
        }
        let folder = self.folder.display().to_string();
        let containers = session
            .engine()
            .await?
            .containers_labelled(LABEL_WORKING_DIR, &folder)
            .await?;
        let own: BTreeSet<&str> = containers
            .iter()
            .filter(|container| container.label(LABEL_SERVICE) == Some(&self.service))
            .filter(|container| container.label(LABEL_ONE_OFF) == Some("True"))
            .flat_map(|container| container.networks.values().map(String::as_str))
            .collect();
        Ok(waiting.iter().any(|address| own.contains(address.as_str())))
    }
}
