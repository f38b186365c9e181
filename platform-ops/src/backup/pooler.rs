//! PgBouncer's clients wait while a database changes under them.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use crate::failure::Failure;
use crate::guard::{Duty, Guard, Held};
use crate::pooler::{Console, Row, statement};
use crate::service::Service;
use crate::session::Session;
use crate::settings::Settings;

/// How long clients wait at most where nothing else is asked for: shorter than the timeouts of most.
pub const PAUSE_MAX: Duration = Duration::from_secs(20);

/// PgBouncer's console, for one swap.
pub struct Pooler {
    console: Console,
    addresses: Vec<String>,
    guard: Guard,
    held: Mutex<Option<Held>>,
    pause_max: Duration,
}

impl Pooler {
    /// The pooler whose clients wait, where one runs.
    ///
    /// # Errors
    /// When it runs and does not let us in.
    pub async fn find(session: &Session) -> anyhow::Result<Option<Self>> {
        if !session.root.platform_env().exists() {
            return Ok(None);
        }
        let settings = Settings::load(session)?;
        let Some(name) = settings.names.containers.get(&Service::Pgbouncer) else {
            return Ok(None);
        };
        let container = session.engine().await?.container(name).await?;
        match container.filter(crate::container::Container::is_running) {
            Some(container) => {
                let console = Console::connect(&settings, &container).await?;
                let addresses = container.networks.into_values().collect();
                Ok(Some(Self {
                    console,
                    addresses,
                    guard: session.guard.clone(),
                    held: Mutex::default(),
                    pause_max: PAUSE_MAX,
                }))
            }
            None => Ok(None),
        }
    }

    /// The same with another bound on how long clients wait.
    #[must_use]
    pub fn with_pause_max(mut self, pause_max: Duration) -> Self {
        self.pause_max = pause_max;
        self
    }

    /// How long clients wait at most, for the end of others' transactions and for the swap.
    pub fn pause_max(&self) -> Duration {
        self.pause_max
    }

    /// Lets clients of a database wait. Should this run be killed, its guard lets them go on.
    ///
    /// # Errors
    /// When transactions do not end in time, or PgBouncer's words: clients go on then.
    pub async fn pause(&self, database: &str) -> anyhow::Result<()> {
        let held = self.guard.hold(Duty::Resume(database.to_owned()))?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        let pause = statement("PAUSE", Some(database));
        let paused = self.console.run_within(&pause, self.pause_max).await;
        if let Err(error) = paused {
            // Whether it takes effect after all is not known.
            let _ = self.resume(database).await;
            let what = format!("clients of {database} did not end their transactions in time");
            return Err(anyhow!(error).context(Failure::refused(what).try_next(
                "platform-ops pooler show servers; end them, or choose a quieter moment",
            )));
        }
        Ok(())
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// PgBouncer's words: the run's guard tries again at its end.
    pub async fn resume(&self, database: &str) -> anyhow::Result<()> {
        let resumed = self.console.resume(Some(database)).await;
        resumed.with_context(|| format!("let PgBouncer's clients of {database} go on"))?;
        let held = self
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(held) = held {
            held.done();
        }
        Ok(())
    }

    /// Where its own sessions with the server come from.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Addresses of the clients of a database that wait.
    ///
    /// # Errors
    /// PgBouncer's words.
    pub async fn waiting(&self, database: &str) -> anyhow::Result<Vec<String>> {
        let clients = self.clients(database).await?;
        let waits = |row: &Row| row.get("state").is_some_and(|state| state == "waiting");
        let address = |row: Row| row.get("addr").cloned();
        Ok(clients
            .into_iter()
            .filter(waits)
            .filter_map(address)
            .collect())
    }

    /// The clients of a database.
    ///
    /// # Errors
    /// PgBouncer's words.
    pub async fn clients(&self, database: &str) -> anyhow::Result<Vec<Row>> {
        let rows = self.console.run("SHOW CLIENTS").await?;
        let is_ours = |row: &Row| row.get("database").is_some_and(|name| name == database);
        Ok(rows.into_iter().filter(is_ours).collect())
    }
}

impl std::fmt::Debug for Pooler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pooler")
    }
}
