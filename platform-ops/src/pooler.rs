//! PgBouncer's admin console, over the container's address on the bridge.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::container::Container;
use crate::postgres;
use crate::service::Service;
use crate::settings::Settings;
use crate::sql::identifier;

/// The user of the console, in pgbouncer.ini and userlist.txt.
pub const ADMIN_USER: &str = "pgbouncer_admin";
/// The console's words for RESUME where nothing is paused (pgbouncer src/admin.c).
const NOT_PAUSED: [&str; 2] = ["not paused", "no such database"];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A row of an answer, by column.
pub type Row = BTreeMap<String, String>;

/// The console, connected.
pub struct Console {
    client: tokio_postgres::Client,
}

impl Console {
    /// Connects.
    ///
    /// # Errors
    /// When the container has no address, or PgBouncer does not let us in.
    pub async fn connect(settings: &Settings, container: &Container) -> anyhow::Result<Self> {
        let failed = || {
            format!(
                "connect to the console of PgBouncer in container {}",
                container.name
            )
        };
        let address = container
            .address(&settings.names.network)
            .with_context(failed)?;
        let mut config = tokio_postgres::Config::new();
        config
            .host(address)
            .port(Service::Pgbouncer.port().unwrap_or_default())
            .user(ADMIN_USER)
            .password(settings.environment.get_or("PGBOUNCER_ADMIN_PASSWORD", ""))
            .dbname("pgbouncer")
            .connect_timeout(CONNECT_TIMEOUT);
        let connecting = tokio::time::timeout(ANSWER_TIMEOUT, config.connect(NoTls));
        let (client, connection) = connecting
            .await
            .with_context(failed)?
            .with_context(failed)?;
        // Ends with the client; what went wrong the client's calls say too.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { client })
    }

    /// Runs a command and returns its rows.
    ///
    /// # Errors
    /// With the console's answer, or when there is none.
    pub async fn run(&self, command: &str) -> anyhow::Result<Vec<Row>> {
        self.run_within(command, ANSWER_TIMEOUT).await
    }

    /// Runs a command that may take longer. The console speaks the simple protocol only.
    ///
    /// # Errors
    /// With the console's answer, or when there is none within `wait_max`.
    pub async fn run_within(&self, command: &str, wait_max: Duration) -> anyhow::Result<Vec<Row>> {
        let answer = tokio::time::timeout(wait_max, self.client.simple_query(command));
        let messages = answer
            .await
            .with_context(|| format!("{command}: no answer"))?
            .with_context(|| command.to_owned())?;
        let mut rows = Vec::new();
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                let columns = row.columns().iter().enumerate();
                rows.push(
                    columns
                        .map(|(index, column)| {
                            (
                                column.name().to_owned(),
                                row.get(index).unwrap_or_default().to_owned(),
                            )
                        })
                        .collect(),
                );
            }
        }
        Ok(rows)
    }

    /// Lets clients go on, all or those of one database; whether they were held back. A database
    /// that PgBouncer has not met since its start holds nobody back either.
    ///
    /// # Errors
    /// With the console's answer.
    pub async fn resume(&self, database: Option<&str>) -> anyhow::Result<bool> {
        let resumed = self.run(&statement("RESUME", database)).await;
        match resumed {
            Err(error)
                if NOT_PAUSED
                    .iter()
                    .any(|words| format!("{error:?}").contains(words)) =>
            {
                Ok(false)
            }
            other => other.map(|_| true),
        }
    }
}

/// A command with a database's name, quoted as the console wants it.
pub fn statement(verb: &str, database: Option<&str>) -> String {
    match database {
        Some(name) => format!("{verb} {}", identifier(name)),
        None => verb.to_owned(),
    }
}

/// Someone who comes through the pooler.
pub struct Login<'a> {
    /// The role.
    pub user: &'a str,
    /// Its password.
    pub password: &'a str,
    /// The database.
    pub database: &'a str,
}

impl Login<'_> {
    /// Logs in, all the way to the database.
    ///
    /// # Errors
    /// The words of whoever refused.
    pub async fn check(&self, settings: &Settings, container: &Container) -> anyhow::Result<()> {
        let address = container
            .address(&settings.names.network)
            .context("the container has no address")?;
        let port = Service::Pgbouncer.port().unwrap_or_default();
        let login = postgres::login(address, port, self.user, self.password, self.database);
        Ok(login.await?)
    }
}
