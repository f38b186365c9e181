//! `db drop`: what is gone is gone.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::backup::pooler::Pooler;
use crate::backup::server::Server;
use crate::database::journal::Journal;
use crate::database::name;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Action, Consent, Effect, Plan};
use crate::session::Session;
use crate::settings::Settings;
use crate::sql::{identifier, literal};

/// Sessions that are named in a refusal.
const NAMED_MAX: usize = 5;

/// Arguments of `db drop`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops db drop trading_db__before_20260102030405 --confirm trading_db__before_20260102030405
  platform-ops db drop ledger_db --dry-run

Refused while someone is connected, directly or through the pooler; --force ends their sessions.
Only a backup brings it back.")]
pub struct Arguments {
    /// The database
    database: String,
    /// End the sessions in it
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Serialize)]
struct Drop {
    database: String,
    bytes: u64,
    force: bool,
    #[serde(skip)]
    server: Server,
    #[serde(skip)]
    pooler: Option<Pooler>,
}

impl Action for Drop {
    fn summary(&self) -> String {
        let sessions = if self.force {
            ", ending all sessions"
        } else {
            ""
        };
        format!(
            "drop database {} with its {}{sessions}",
            self.database,
            ByteSize(self.bytes)
        )
    }

    fn effect(&self) -> Effect {
        Effect::Destroy
    }

    async fn apply(&self, _session: &Session) -> anyhow::Result<()> {
        let force = if self.force { " with (force)" } else { "" };
        let sql = format!("drop database {}{force};\n", identifier(&self.database));
        let Some(pooler) = &self.pooler else {
            return self.server.script("postgres", &sql).await;
        };
        // It lets go of its idle sessions, which no one uses.
        if !self.force {
            pooler.pause(&self.database).await?;
        }
        let dropped = self.server.script("postgres", &sql).await;
        let resumed = pooler.resume(&self.database).await;
        dropped?;
        resumed
    }
}

#[derive(Deserialize)]
struct Client {
    role: String,
    application: String,
    address: String,
}

/// Who is connected; the pooler's own sessions count only if it has clients.
async fn clients(
    server: &Server,
    pooler: Option<&Pooler>,
    database: &str,
) -> anyhow::Result<Vec<String>> {
    let sql = format!(
        "select coalesce(usename, '') as role, application_name as application, \
         coalesce(host(client_addr), 'the server''s socket') as address \
         from pg_stat_activity where datname = {} and pid <> pg_backend_pid() order by pid",
        literal(database)
    );
    let direct: Vec<Client> = server.rows("postgres", &sql).await?;
    let is_poolers =
        |address: &String| pooler.is_some_and(|pooler| pooler.addresses().contains(address));
    let mut clients: Vec<String> = direct
        .iter()
        .filter(|client| !is_poolers(&client.address))
        .map(|client| {
            format!(
                "{} ({}) from {}",
                client.role, client.application, client.address
            )
        })
        .collect();
    if let Some(pooler) = pooler {
        for row in pooler.clients(database).await? {
            let field = |name: &str| row.get(name).map_or("?", String::as_str);
            clients.push(format!(
                "{} through the pooler from {}",
                field("user"),
                field("addr")
            ));
        }
    }
    Ok(clients)
}

/// Carries it out.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("db drop")?;
    let database = &arguments.database;
    name::check(database)?;
    let server = super::server(session).await?;
    let entry = super::existing(&server, database).await?;
    let left = Journal::all(&session.root)?;
    if let Some(left) = left.iter().find(|left| left.names(database)) {
        let what = format!("a fresh install of {} was cut short", left.database);
        return Err(Failure::refused(what).try_next(left.hint()).into());
    }
    let pooler = Pooler::find(session).await?;
    let clients = clients(&server, pooler.as_ref(), database).await?;
    let mut plan = Plan::new("db drop");
    if !clients.is_empty() && !arguments.force {
        let named = clients
            .iter()
            .take(NAMED_MAX)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let what = format!("{} sessions are in {database}: {named}", clients.len());
        return Err(Failure::refused(what)
            .try_next("stop the application (platform-ops app down NAME), or --force")
            .into());
    }
    plan.require(Consent::Name(database.clone()));
    if session.root.platform_env().exists() {
        let roles = Settings::load(session)?.app_roles;
        for role in roles.iter().filter(|role| role.database == *database) {
            plan.note(format!(
                "{} of {} connects to it",
                role.user,
                role.application()
            ));
        }
    }
    plan.note("only a backup brings it back: platform-ops backup list");
    plan.push(Drop {
        database: database.clone(),
        bytes: entry.bytes,
        force: arguments.force,
        server,
        pooler,
    });
    plan.carry_out(session).await
}
