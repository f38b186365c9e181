//! What runs, written into platform.env: names, images, data paths, ports, roles. What is there
//! stays; what was said before is never changed.

use anyhow::Context as _;

use super::discovery::Found;
use crate::container::Container;
use crate::doctor::ask_postgres_settings;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::secret;
use crate::service::Service;
use crate::session::Session;
use crate::stack;

/// As compose.yaml calls it.
const AGENT_NETWORK: &str = "platform-agent_agent";

/// Adds to an environment, and remembers the keys.
struct Recorder<'a> {
    session: &'a Session,
    environment: Environment,
    keys: Vec<String>,
    notes: Vec<String>,
}

/// platform.env as it should be, the keys that it lacked, and what the operator should know.
///
/// # Errors
/// When platform.env contradicts what runs, or a secret is nowhere to be found.
pub async fn record(
    session: &Session,
    found: &Found,
    environment: Environment,
) -> anyhow::Result<(Environment, Vec<String>, Vec<String>)> {
    let mut recorder = Recorder {
        session,
        environment,
        keys: Vec::new(),
        notes: Vec::new(),
    };
    if session.root.path() != std::path::Path::new("/srv") {
        recorder.say("PLATFORM_ROOT", &session.root.path().display().to_string())?;
    }
    recorder.say("PLATFORM_NETWORK", &found.network)?;
    for (service, container) in &found.containers {
        recorder.say(&service.key("CONTAINER"), &container.name)?;
        // The agent's moves with its releases, unless it is another one.
        if *service != Service::Agent
            || stack::default_image(*service) != Some(container.image.clone())
        {
            recorder.say(&service.key("IMAGE"), &container.image)?;
        }
        if let Some(mount) = service
            .data_path()
            .and_then(|path| container.mount_at(path))
            .filter(|mount| mount.kind == "bind")
        {
            recorder.say(&service.key("DATA"), &mount.source)?;
        }
        recorder.publish(*service, container)?;
    }
    if let Some(container) = found.containers.get(&Service::Postgres) {
        recorder.postgres(container).await?;
    }
    recorder.redis(found.containers.get(&Service::Redis))?;
    if let Some(container) = found.containers.get(&Service::Pgbouncer) {
        recorder.pgbouncer(container).await?;
    }
    recorder.secret("PGBOUNCER_ADMIN_PASSWORD", None)?;
    if let Some(container) = found.containers.get(&Service::Agent) {
        recorder.agent(container)?;
    }
    let adopted: Vec<&str> = found
        .containers
        .keys()
        .map(|service| service.name())
        .collect();
    if recorder.environment.get("PLATFORM_ADOPTED").is_none() && !adopted.is_empty() {
        recorder.set("PLATFORM_ADOPTED", &adopted.join(","))?;
    }
    Ok((recorder.environment, recorder.keys, recorder.notes))
}

impl Recorder<'_> {
    fn set(&mut self, key: &str, value: &str) -> anyhow::Result<()> {
        self.environment = self.environment.with(key, value)?;
        self.keys.push(key.to_owned());
        Ok(())
    }

    /// Sets what is not set; what is set otherwise is a contradiction.
    fn say(&mut self, key: &str, value: &str) -> anyhow::Result<()> {
        match self.environment.get(key) {
            None => self.set(key, value),
            Some(present) if present == value => Ok(()),
            Some(present) => Err(Failure::refused(format!(
                "platform.env says {key}={present}, what runs says {value}"
            ))
            .try_next(format!("correct or remove {key} in platform.env"))
            .into()),
        }
    }

    /// Sets a secret that is not set: as a reference to the key that holds it already, as the value
    /// the container has, or as a new one.
    fn secret(&mut self, key: &str, value: Option<&str>) -> anyhow::Result<()> {
        if let Some(value) = value {
            self.session.redactor.learn(value);
        }
        if self.environment.get(key).is_some() {
            return Ok(());
        }
        let holder = value
            .and_then(|value| {
                self.environment
                    .values()
                    .iter()
                    .find(|(_, held)| *held == value)
            })
            .map(|(holder, _)| holder.clone());
        if let Some(holder) = holder {
            self.environment = self.environment.with_reference(key, &holder)?;
            self.keys.push(key.to_owned());
            return Ok(());
        }
        let value = match value {
            Some(value) => value.to_owned(),
            None => secret::generate()?,
        };
        self.session.redactor.learn(&value);
        self.set(key, &value)
    }

    fn publish(&mut self, service: Service, container: &Container) -> anyhow::Result<()> {
        let Some(port) = service.port() else {
            return Ok(());
        };
        let inside = format!("{port}/tcp");
        let mut published = container
            .published
            .iter()
            .filter(|published| published.port == inside);
        if let Some(first) = published.next() {
            let address = if first.address.is_empty() {
                "0.0.0.0"
            } else {
                &first.address
            };
            self.say(
                &service.key("PUBLISH"),
                &format!("{address}:{}", first.host_port),
            )?;
        }
        Ok(())
    }

    async fn postgres(&mut self, container: &Container) -> anyhow::Result<()> {
        self.say("POSTGRES_USER", crate::postgres::superuser(container))?;
        let password = container.env.get("POSTGRES_PASSWORD").cloned();
        if password.is_none() && self.environment.get("POSTGRES_PASSWORD").is_none() {
            let what = format!(
                "the password of {} stands neither in platform.env nor in container {}",
                crate::postgres::superuser(container),
                container.name
            );
            return Err(Failure::refused(what)
                .try_next("set POSTGRES_PASSWORD in platform.env")
                .into());
        }
        self.secret("POSTGRES_PASSWORD", password.as_deref())?;
        // The stack would start it with its own defaults otherwise.
        let settings = ask_postgres_settings(self.session, container)
            .await
            .context("ask PostgreSQL for its settings")?;
        for (name, value) in settings {
            let key = Service::Postgres.key(&name.to_uppercase());
            if self.environment.get(&key).is_none() {
                self.set(&key, &value)?;
            }
        }
        Ok(())
    }

    fn redis(&mut self, container: Option<&Container>) -> anyhow::Result<()> {
        let password = container.and_then(redis_password);
        if container.is_some()
            && password.is_none()
            && self.environment.get("REDIS_PASSWORD").is_none()
        {
            self.notes.push("Redis seems to want no password; REDIS_PASSWORD is new, and in force only once the stack runs Redis".to_owned());
        }
        self.secret("REDIS_PASSWORD", password.as_deref())
    }

    /// Its network has a bridge that firewall rules know by name.
    fn agent(&mut self, container: &Container) -> anyhow::Result<()> {
        self.say("PLATFORM_AGENT", "on")?;
        match container.networks.keys().next() {
            Some(network) if network != AGENT_NETWORK => {
                self.say("PLATFORM_AGENT_NETWORK", network)
            }
            _ => Ok(()),
        }
    }

    /// The pool mode decides which applications work: it has to stay.
    async fn pgbouncer(&mut self, container: &Container) -> anyhow::Result<()> {
        let ini = pgbouncer_file(self.session, container, "pgbouncer.ini").await?;
        let value = |name: &str| {
            let mut lines = ini.lines().rev().filter_map(|line| line.split_once('='));
            lines
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().to_owned())
        };
        let keys = [
            ("POOL_MODE", "pool_mode", "session"),
            ("POOL_SIZE", "default_pool_size", "20"),
            ("MAX_CLIENT_CONN", "max_client_conn", "100"),
        ];
        for (key, name, default) in keys {
            let key = Service::Pgbouncer.key(key);
            if self.environment.get(&key).is_none() {
                self.set(&key, &value(name).unwrap_or_else(|| default.to_owned()))?;
            }
        }
        Ok(())
    }
}

/// A file of PgBouncer's configuration, as the container sees it.
///
/// # Errors
/// When it cannot be read.
pub(super) async fn pgbouncer_file(
    session: &Session,
    container: &Container,
    name: &str,
) -> anyhow::Result<String> {
    let path = format!("/etc/pgbouncer/{name}");
    let output = session
        .engine()
        .await?
        .exec(&container.name, &["cat", &path], "")
        .await?;
    anyhow::ensure!(
        output.code == 0,
        "read {path} in container {}: {}",
        container.name,
        output.stderr.trim()
    );
    Ok(output.stdout)
}

/// The password that a hand-made Redis was started with.
pub(super) fn redis_password(container: &Container) -> Option<String> {
    let words: Vec<&str> = container
        .command
        .iter()
        .chain(&container.entrypoint)
        .flat_map(|word| word.split_whitespace())
        .collect();
    let args = container
        .env
        .get("REDIS_ARGS")
        .map(String::as_str)
        .unwrap_or_default();
    let args: Vec<&str> = args.split_whitespace().collect();
    let after = |words: &[&str]| {
        words
            .iter()
            .position(|word| *word == "--requirepass")
            .and_then(|at| Some((*words.get(at + 1)?).to_owned()))
    };
    after(&words)
        .or_else(|| after(&args))
        .or_else(|| container.env.get("REDIS_PASSWORD").cloned())
}
