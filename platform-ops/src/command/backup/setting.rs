//! What backup commands find here: configuration, containers, the store.

use std::path::Path;

use anyhow::Context as _;
use bollard::Docker;

use crate::backup::config::Config;
use crate::backup::container::{self, Container};
use crate::backup::key::Identities;
use crate::backup::psql::{LOCK_WAIT_SECONDS, Place};
use crate::backup::redis::Redis;
use crate::backup::server::Server;
use crate::backup::store::Store;
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::service::Service;
use crate::session::Session;

/// Configuration and the engine.
pub struct Scene {
    /// `backup.toml`.
    pub config: Config,
    /// The engine.
    pub docker: Docker,
    environment: Option<Environment>,
}

impl Scene {
    /// Reads the configuration and connects to the engine.
    ///
    /// # Errors
    /// When the one is wrong or the other silent.
    pub async fn look(session: &Session) -> anyhow::Result<Self> {
        // A host that was never taken over has none.
        let environment = match session.root.platform_env().exists() {
            true => Some(Environment::load(session)?),
            false => None,
        };
        Ok(Self {
            config: Config::load(&session.root)?,
            docker: session.engine().await?.docker().clone(),
            environment,
        })
    }

    fn variable(&self, key: &str) -> Option<&str> {
        self.environment.as_ref()?.get(key)
    }

    /// PostgreSQL's container, and its server.
    ///
    /// # Errors
    /// When it does not run, or is not the only one.
    pub async fn server(&self, run: &str) -> anyhow::Result<Server> {
        let configured = self.config.postgres_container.as_deref();
        let container = self.container(Service::Postgres, configured).await?;
        let container = container.with_context(|| {
            Failure::refused("PostgreSQL does not run in any container here")
                .try_next("platform-ops up, or postgres_container = \"…\" in config/backup.toml")
        })?;
        let user = container
            .variable("POSTGRES_USER")
            .unwrap_or("postgres")
            .to_owned();
        let place = Place {
            user,
            application: format!("platform-ops:{run}"),
            lock_wait_seconds: self.config.lock_wait_seconds.unwrap_or(LOCK_WAIT_SECONDS),
            container: container.id,
        };
        Ok(Server::new(self.docker.clone(), place))
    }

    /// Redis, where it runs.
    ///
    /// # Errors
    /// When it is not the only one.
    pub async fn redis(&self) -> anyhow::Result<Option<Redis>> {
        let configured = self.config.redis_container.as_deref();
        let container = self.container(Service::Redis, configured).await?;
        let password = self.variable("REDIS_PASSWORD").map(str::to_owned);
        Ok(container.map(|container| Redis::new(self.docker.clone(), container, password)))
    }

    async fn container(
        &self,
        service: Service,
        configured: Option<&str>,
    ) -> anyhow::Result<Option<Container>> {
        let key = service.key("CONTAINER");
        // A name that someone wrote down is meant.
        let named = configured.or_else(|| self.variable(&key));
        match named {
            Some(name) => container::find(&self.docker, name, None).await,
            None => {
                let name = service.default_container();
                container::find(&self.docker, name, Some(service.name())).await
            }
        }
    }

    /// The place of the sets.
    ///
    /// # Errors
    /// When none is configured, or it cannot be reached.
    pub async fn store(&self, session: &Session, folder: Option<&Path>) -> anyhow::Result<Store> {
        open_store(session, &self.config, folder).await
    }
}

/// The place of the sets, where nothing else is needed.
///
/// # Errors
/// When none is configured, or it cannot be reached.
pub async fn open_store(
    session: &Session,
    config: &Config,
    folder: Option<&Path>,
) -> anyhow::Result<Store> {
    let store = config.store(&session.root, folder).await;
    store.context("reach the place of the backups")
}

/// Keys from a file, if one is named.
///
/// # Errors
/// When it holds none.
pub fn identities(file: Option<&Path>) -> anyhow::Result<Identities> {
    let Some(file) = file else {
        return Ok(Identities::default());
    };
    let identities = Identities::read(file)?;
    if identities.is_empty() {
        let what = format!("{} holds no age identity", file.display());
        return Err(Failure::new(Exit::USAGE, what).into());
    }
    Ok(identities)
}
