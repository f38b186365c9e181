//! Two databases change places, and back.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::backup::pooler::Pooler;
use crate::backup::psql;
use crate::backup::server::Server;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Action, Consent, Effect, Plan};
use crate::session::Session;
use crate::side_name::{self, Side};
use crate::sql::{identifier, literal};

/// A rename waits for sessions to end for five seconds (PostgreSQL's CountOtherDBBackends).
const RENAME_MIN: Duration = Duration::from_secs(6);
const RENAME_MAX: Duration = Duration::from_secs(30);
/// Between two looks for sessions of clients that came in before the lock.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Renames both in one transaction while no one is connected and the pooler's clients wait, no longer
/// than [`Pooler::pause_max`].
///
/// # Errors
/// The server's words, or the time is up; the live database is then as it was.
pub async fn swap(
    server: &Server,
    pooler: Option<&Pooler>,
    database: &str,
    side: &str,
    kept: Option<&str>,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut wait_max = RENAME_MAX;
    if let Some(pooler) = pooler {
        pooler.pause(database).await?;
        wait_max = pooler.pause_max().saturating_sub(began.elapsed());
    }
    let swapped = rename_within(server, database, side, kept, wait_max.max(RENAME_MIN)).await;
    let resumed = match pooler {
        Some(pooler) => pooler.resume(database).await,
        None => Ok(()),
    };
    swapped?;
    resumed
}

/// Renames both in one transaction, ending all sessions: `side` to `database`, and what was there to
/// `kept`, which refuses connections from then on.
///
/// # Errors
/// The server's words; nothing has another name then.
pub async fn rename(
    server: &Server,
    database: &str,
    side: &str,
    kept: Option<&str>,
) -> anyhow::Result<()> {
    rename_within(server, database, side, kept, RENAME_MAX).await
}

/// Nothing is committed before all is done: killed at any moment, the one database or the other is
/// there and open. The first rename locks the database against new sessions, and those that are there
/// are ended meanwhile.
async fn rename_within(
    server: &Server,
    database: &str,
    side: &str,
    kept: Option<&str>,
    wait_max: Duration,
) -> anyhow::Result<()> {
    let (live, new) = (identifier(database), identifier(side));
    let mut sql = format!(
        "set statement_timeout = {};\nbegin;\n",
        wait_max.as_millis()
    );
    if let Some(kept) = kept {
        let old = identifier(kept);
        sql += &format!(
            "alter database {live} rename to {old};\nalter database {old} allow_connections false;\n"
        );
    }
    // One that was kept refused connections.
    sql += &format!(
        "alter database {new} rename to {live};\n\
         alter database {live} allow_connections true;\n\
         commit;\n"
    );
    let from = neighbour(database);
    let names = [database, side];
    let ending = end_sessions(server, from, &names);
    tokio::select! {
        renamed = server.script(from, &sql) => renamed.context("swap the databases"),
        error = ending => Err(error),
    }
}

/// A database to be connected to while `database` is renamed or dropped.
pub fn neighbour(database: &str) -> &'static str {
    if database == "postgres" {
        "template1"
    } else {
        "postgres"
    }
}

/// Ends sessions of these databases, again and again; returns only when that fails.
async fn end_sessions(server: &Server, from: &str, databases: &[&str]) -> anyhow::Error {
    let names: Vec<String> = databases.iter().map(|name| literal(name)).collect();
    let sql = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname in ({});",
        names.join(", ")
    );
    let end = async {
        let mut session = psql::Session::open(server.docker(), server.place(), from).await?;
        loop {
            session.lines(&sql).await?;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let ended: anyhow::Result<std::convert::Infallible> = end.await;
    match ended {
        Ok(never) => match never {},
        Err(error) => error.context("end the sessions of the database"),
    }
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

/// Puts a kept database back in its place; the one that took it stays beside it.
#[derive(Debug, Serialize)]
pub struct Undo {
    database: String,
    kept: String,
    aside: String,
    #[serde(skip)]
    server: Server,
    #[serde(skip)]
    pooler: Option<Pooler>,
}

impl Action for Undo {
    fn summary(&self) -> String {
        let Self {
            database,
            kept,
            aside,
            ..
        } = self;
        format!("end all sessions of {database}, rename it to {aside} and {kept} to {database}")
    }

    fn effect(&self) -> Effect {
        Effect::Change
    }

    async fn apply(&self, _session: &Session) -> anyhow::Result<()> {
        let pooler = self.pooler.as_ref();
        swap(
            &self.server,
            pooler,
            &self.database,
            &self.kept,
            Some(&self.aside),
        )
        .await
    }
}

/// Lets clients into a database that refused them.
///
/// # Errors
/// The server's words.
pub async fn open(server: &Server, database: &str) -> anyhow::Result<()> {
    let name = identifier(database);
    let open = format!("alter database {name} allow_connections true;\n");
    server.script("postgres", &open).await
}

/// The plan of undoing what kept a database: the latest that was, where none is named.
///
/// # Errors
/// [`Exit::NOTHING_TO_RESTORE`] when there is no such database.
pub async fn undo_plan(
    command: &str,
    server: Server,
    pooler: Option<Pooler>,
    database: &str,
    kept: Option<&str>,
) -> anyhow::Result<Plan<Undo>> {
    let sql = "select datname as name from pg_database order by 1";
    let there: Vec<Name> = server.rows(neighbour(database), sql).await?;
    let names: Vec<&str> = there.iter().map(|row| row.name.as_str()).collect();
    let found = match kept {
        Some(kept) => names.iter().find(|name| **name == kept),
        // Their names end with the time.
        None => names
            .iter()
            .rfind(|name| Side::Before.is_of(name, database)),
    };
    let kept = found.with_context(|| {
        let what = match kept {
            Some(kept) => format!("there is no database {kept}"),
            None => format!("no restore has kept a database {database}"),
        };
        Failure::new(Exit::NOTHING_TO_RESTORE, what)
    })?;
    let aside = Side::Undone.name(database, &side_name::stamp(names.iter().copied())?);
    let mut plan = Plan::new(command);
    plan.require(Consent::Name(database.to_owned()));
    plan.note(format!(
        "what {database} was given since it took its place stays in the database that is set aside"
    ));
    plan.push(Undo {
        database: database.to_owned(),
        kept: (*kept).to_owned(),
        aside,
        server,
        pooler,
    });
    Ok(plan)
}
