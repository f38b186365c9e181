//! Two databases change places, and back.

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backup::pooler::Pooler;
use crate::backup::psql::{identifier, literal};
use crate::backup::server::Server;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Action, Consent, Effect, Plan};
use crate::session::Session;

/// Renames both in one transaction while no one is connected and the pooler's clients wait.
///
/// # Errors
/// The server's words; the live database is then as it was.
pub async fn swap(
    server: &Server,
    pooler: Option<&Pooler>,
    database: &str,
    side: &str,
    kept: Option<&str>,
) -> anyhow::Result<()> {
    if let Some(pooler) = pooler {
        pooler.pause(database).await?;
    }
    let swapped = rename(server, database, side, kept).await;
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
    let (live, new) = (identifier(database), identifier(side));
    let Some(kept) = kept else {
        let sql = format!("alter database {new} rename to {live};\n");
        return server.script("postgres", &sql).await.context("rename");
    };
    let old = identifier(kept);
    let names = format!("{}, {}", literal(database), literal(side));
    // Refused before they are ended: a client that comes back would hold up the rename.
    let sql = format!(
        "alter database {live} allow_connections false;\n\
         select pg_terminate_backend(pid) from pg_stat_activity where datname in ({names});\n\
         begin;\n\
         alter database {live} rename to {old};\n\
         alter database {new} rename to {live};\n\
         alter database {live} allow_connections true;\n\
         commit;\n"
    );
    match server.script("postgres", &sql).await {
        Ok(()) => Ok(()),
        Err(error) => {
            // The first error is the one that tells.
            let _ = open(server, database).await;
            Err(error).context("swap the databases")
        }
    }
}

/// A name with its ending, within PostgreSQL's 63 bytes.
pub fn limited(name: &str, ending: &str) -> String {
    let mut end = name.len().min(63 - ending.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ending}", &name[..end])
}

#[derive(Deserialize)]
struct Name {
    #[serde(rename = "name")]
    _name: String,
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

/// The plan of undoing what kept a database.
///
/// # Errors
/// [`Exit::NOTHING_TO_RESTORE`] when there is no such database.
pub async fn undo_plan(
    command: &str,
    server: Server,
    pooler: Option<Pooler>,
    database: &str,
    kept: &str,
) -> anyhow::Result<Plan<Undo>> {
    let sql = format!(
        "select datname as name from pg_database where datname = {}",
        literal(kept)
    );
    let there: Vec<Name> = server.rows("postgres", &sql).await?;
    if there.is_empty() {
        let what = format!("there is no database {kept}");
        return Err(Failure::new(Exit::NOTHING_TO_RESTORE, what).into());
    }
    let stamp = Timestamp::now().strftime("%Y%m%d%H%M%S");
    let mut plan = Plan::new(command);
    plan.require(Consent::Name(database.to_owned()));
    plan.push(Undo {
        database: database.to_owned(),
        kept: kept.to_owned(),
        aside: limited(database, &format!("__undone_{stamp}")),
        server,
        pooler,
    });
    Ok(plan)
}
