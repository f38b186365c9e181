//! A fresh install that goes no further: the old database comes back.

use serde::Serialize;

use crate::backup::pooler::Pooler;
use crate::backup::server::Server;
use crate::backup::swap;
use crate::database::journal::Journal;
use crate::database::listing;
use crate::plan::{Action, Consent, Effect, Plan};
use crate::session::Session;
use crate::sql::identifier;

/// Undoes a fresh install that was cut short.
#[derive(Debug, Serialize)]
pub struct PutBack {
    journal: Journal,
    #[serde(skip)]
    server: Server,
    #[serde(skip)]
    pooler: Option<Pooler>,
}

impl PutBack {
    /// The plan that holds nothing else.
    pub fn plan(journal: Journal, server: Server, pooler: Option<Pooler>) -> Plan<Self> {
        let mut plan = Plan::new("db undo");
        plan.require(Consent::Name(journal.database.clone()));
        plan.push(Self {
            journal,
            server,
            pooler,
        });
        plan
    }
}

impl Action for PutBack {
    fn summary(&self) -> String {
        let database = &self.journal.database;
        match &self.journal.kept {
            Some(_) => {
                format!("put {database} back as it was before its fresh install; the new one goes")
            }
            None => format!("drop {database}, which a fresh install began to make"),
        }
    }

    fn effect(&self) -> Effect {
        Effect::Change
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        put_back(session, &self.server, self.pooler.as_ref(), &self.journal).await
    }
}

/// Undoes what a fresh install has done: the old database takes its place again, the new one goes.
/// It can be repeated.
///
/// # Errors
/// The server's words; then it is to be called again.
pub async fn put_back(
    session: &Session,
    server: &Server,
    pooler: Option<&Pooler>,
    journal: &Journal,
) -> anyhow::Result<()> {
    let Journal {
        database,
        fresh,
        kept,
        ..
    } = journal;
    let there = listing::list(server).await?;
    let is_there = |name: &str| there.iter().any(|entry| entry.name == name);
    let mut leftover = is_there(fresh).then_some(fresh);
    match kept {
        Some(kept) if is_there(kept) => {
            swap::rename(server, database, kept, Some(fresh)).await?;
            leftover = Some(fresh);
        }
        // It may be closed already for a renaming that never came.
        Some(_) => swap::open(server, database).await?,
        // There was none before, so what has the name was made by that run.
        None if leftover.is_none() && is_there(database) => leftover = Some(database),
        None => {}
    }
    if let Some(name) = leftover {
        let sql = format!(
            "drop database if exists {} with (force);\n",
            identifier(name)
        );
        server.script("postgres", &sql).await?;
    }
    if let Some(pooler) = pooler {
        pooler.resume(database).await?;
    }
    journal.remove(&session.root)
}
