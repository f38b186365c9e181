//! `config/backup.toml`: where sets go, who can open them, how long they stay.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use oci::object::{Bucket, RetryPolicy, namespace};
use oci::{AuthKind, Client, ClientOptions, ConfigSource, Credentials, Endpoint, Service};
use serde::Deserialize;

use crate::backup::policy::Retention;
use crate::backup::schedule::Schedule;
use crate::backup::store::Store;
use crate::backup::webhook::Webhook;
use crate::failure::Failure;
use crate::root::Root;

/// What the file holds. Every key has a default but the destination.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// age public keys that every set is encrypted to; their private halves are elsewhere.
    pub recipients: Vec<String>,
    /// Databases that are left out.
    pub exclude_databases: Vec<String>,
    /// PostgreSQL's container, where it is not `postgres-db`.
    pub postgres_container: Option<String>,
    /// Redis's container, where it is not `redis`.
    pub redis_container: Option<String>,
    /// How long a dump waits for a table that is locked; 60.
    pub lock_wait_seconds: Option<u32>,
    /// Folders besides `config` and `apps`.
    pub folders: Vec<PathBuf>,
    /// A folder, instead of a bucket.
    pub directory: Option<PathBuf>,
    /// A bucket.
    pub bucket: Option<BucketConfig>,
    /// How long sets stay.
    pub retention: Retention,
    /// When backups are made, and how old what may be.
    pub schedule: Schedule,
    /// How much of the host a dump may take.
    pub limits: Limits,
    /// A file for node_exporter's textfile collector.
    pub metrics_file: Option<PathBuf>,
    /// Where failures are told.
    pub webhook: Option<Webhook>,
}

/// How much of the host a dump may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// CPUs that pg_dump may run on, the highest numbers; all, where none is set.
    pub dump_cpus: Option<usize>,
    /// Its niceness, 0 to 19.
    pub dump_nice: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            dump_cpus: None,
            dump_nice: 10,
        }
    }
}

/// A bucket of Object Storage.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketConfig {
    /// Its name.
    pub name: String,
    /// What every object's name begins with; `platform-ops/`.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// Without one it is asked for.
    pub namespace: Option<String>,
    /// `auto`, `api_key`, `security_token`, `instance_principal` or `resource_principal`.
    #[serde(default = "default_auth")]
    pub auth: String,
    /// An OCI config file, instead of `~/.oci/config`.
    pub config_file: Option<PathBuf>,
    /// A profile of it.
    pub profile: Option<String>,
    /// Instead of the credentials' own.
    pub region: Option<String>,
    /// Instead of the region's public one.
    pub endpoint: Option<String>,
}

fn default_prefix() -> String {
    "platform-ops/".to_owned()
}

fn default_auth() -> String {
    "auto".to_owned()
}

impl Config {
    /// Reads the file; where there is none, the defaults.
    ///
    /// # Errors
    /// Names the key that is unknown or wrong.
    pub fn load(root: &Root) -> anyhow::Result<Self> {
        let path = path(root);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            text => text.with_context(|| format!("read {}", path.display()))?,
        };
        let wrong = || Failure::usage(format!("{} is not right", path.display()));
        let config: Self = toml::from_str(&text).with_context(wrong)?;
        let checked = config.schedule.check().map_err(anyhow::Error::msg);
        checked.context("[schedule]").with_context(wrong)?;
        Ok(config)
    }

    /// The store: `to` if it is given, else the configured one.
    ///
    /// # Errors
    /// When none is configured, or the bucket's namespace cannot be had.
    pub async fn store(&self, root: &Root, to: Option<&Path>) -> anyhow::Result<Store> {
        if let Some(folder) = to.or(self.directory.as_deref()) {
            return Ok(Store::Folder(folder.to_owned()));
        }
        let Some(bucket) = &self.bucket else {
            return Err(Failure::usage("no destination for backups is configured")
                .try_next(format!(
                    "--to DIR, or in {}: [bucket] name = \"…\"",
                    path(root).display()
                ))
                .into());
        };
        bucket.open().await
    }
}

/// `config/backup.toml`.
pub fn path(root: &Root) -> PathBuf {
    root.config().join("backup.toml")
}

impl BucketConfig {
    async fn open(&self) -> anyhow::Result<Store> {
        let source = ConfigSource {
            file: self.config_file.clone(),
            profile: self.profile.clone(),
            region: self.region.clone(),
            ..ConfigSource::process()
        };
        let auth: AuthKind = self.auth.parse()?;
        let options = ClientOptions {
            user_agent: concat!("platform-ops/", env!("CARGO_PKG_VERSION")).to_owned(),
            ..ClientOptions::default()
        };
        let client = Client::new(Credentials::load(auth, &source)?, &options)?;
        let endpoint = match &self.endpoint {
            Some(endpoint) => Endpoint::parse(endpoint)?,
            None => Endpoint::of(Service::ObjectStorage, &client.region().await?)?,
        };
        let namespace = match &self.namespace {
            Some(namespace) => namespace.clone(),
            None => namespace(&client, &endpoint, &RetryPolicy::default())
                .await
                .context("ask for the namespace")?,
        };
        let bucket = Bucket::new(client, endpoint, namespace, self.name.parse()?);
        Ok(Store::Bucket {
            bucket,
            prefix: self.prefix.clone(),
        })
    }
}
