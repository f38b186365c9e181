//! What the checks look at. It holds no secret.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::backup::alarm::Alarm;
use crate::container::Container;
use crate::disk::Room;
use crate::hygiene::Fault;
use crate::image::ImageLock;
use crate::service::Service;
use crate::settings::Names;

/// Everything that was seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// When.
    pub at: Timestamp,
    /// The root.
    pub root: PathBuf,
    /// What could not be looked at, and why.
    pub gaps: Vec<(String, String)>,
    /// The engine.
    pub engine: Option<EngineFacts>,
    /// `docker compose version`.
    pub compose_version: Option<String>,
    /// The machine.
    pub host: HostFacts,
    /// Names, from platform.env or from what `up` left.
    pub names: Option<Names>,
    /// platform.env.
    pub environment: Option<EnvironmentFacts>,
    /// The key whose rotation was cut short.
    #[serde(default)]
    pub rotation: Option<String>,
    /// Files and folders that are not as they should be.
    pub files: Vec<FileFacts>,
    /// Digests that `pull` resolved.
    pub images: ImageLock,
    /// The shared network's driver; None where there is no network.
    pub network_driver: Option<String>,
    /// The platform's containers.
    pub containers: BTreeMap<Service, Vec<Container>>,
    /// Services that the next `up` would recreate.
    pub outdated: Vec<Service>,
    /// All containers on the platform's network or under its apps.
    pub neighbours: Vec<Container>,
    /// Log files, by container.
    pub logs: BTreeMap<String, LogFacts>,
    /// Architecture of each running image, by service.
    pub image_architectures: BTreeMap<Service, String>,
    /// Checks that waivers name and that there are none of.
    #[serde(default)]
    pub unknown_waivers: Vec<String>,
    /// Keys of platform.env whose value a server does not take, and which.
    #[serde(default)]
    pub refused_secrets: Vec<(String, Service)>,
    /// Bytes of memory that each service uses.
    #[serde(default)]
    pub memory: BTreeMap<Service, u64>,
    /// The agent's own `check --json`; asked for by `doctor` only.
    #[serde(default)]
    pub agent_check: Option<Value>,
    /// The bucket of backups and why it does not answer; asked for by `doctor` only.
    #[serde(default)]
    pub bucket_error: Option<(String, String)>,
    /// PostgreSQL's answers.
    pub postgres: Option<PostgresFacts>,
    /// Redis' answers.
    pub redis: Option<RedisFacts>,
    /// PgBouncer's answers.
    pub pooler: Option<PoolerFacts>,
    /// The agent's `status --json`.
    pub agent: Option<Value>,
    /// What stands in the agent's folder of credentials: name and mode.
    pub agent_credentials: Vec<(String, u32)>,
    /// The backups, as far as this host knows.
    #[serde(default)]
    pub backup: BackupFacts,
}

/// The backups, as far as this host knows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupFacts {
    /// Whether there is a place for them; None where it could not be looked at.
    pub configured: Option<bool>,
    /// `systemd`, `cron`: what starts them.
    pub started_by: Vec<String>,
    /// What is wrong, by the limits of backup.toml.
    pub alarms: Vec<Alarm>,
    /// When the snapshots of the last set were opened.
    pub last: Option<Timestamp>,
    /// When a drill last restored all of one.
    pub proven: Option<Timestamp>,
}

/// The engine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EngineFacts {
    /// Its version.
    pub version: String,
    /// The newest API it speaks.
    pub api_version: String,
    /// Names of its components; Podman says so here.
    pub components: Vec<String>,
    /// x86_64, aarch64.
    pub architecture: String,
    /// Driver of containers that do not name one.
    pub log_driver: String,
    /// Where it keeps everything.
    pub data_root: PathBuf,
    /// Whether it confines containers by SELinux.
    #[serde(default)]
    pub is_selinux: bool,
    /// daemon.json, if it can be read.
    pub daemon_json: Option<Value>,
}

/// The machine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HostFacts {
    /// ID and VERSION_ID of os-release.
    pub os: (String, String),
    /// Kernel modules that Docker's firewall rules need and the kernel cannot load.
    pub modules_missing: Vec<String>,
    /// Whether the kernel counts its clock as synchronised, where that can be asked.
    pub clock_synchronised: Option<bool>,
    /// File systems, by what lies on them.
    pub disks: BTreeMap<String, Room>,
    /// Files outside of the root that are missing or not as their masters: path and which of both.
    pub files: Vec<(String, String)>,
    /// Lines of crontabs and /etc/cron.d that name the manual's backup script.
    pub cron_backups: Vec<String>,
    /// Lines that remove what Docker counts as unused.
    #[serde(default)]
    pub cron_prunes: Vec<String>,
    /// SELinux, where it is enforcing.
    #[serde(default)]
    pub selinux: Option<SelinuxFacts>,
    /// Bytes of memory, and those that can be had without swapping.
    #[serde(default)]
    pub memory_bytes: (u64, u64),
}

/// SELinux, enforcing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SelinuxFacts {
    /// Whether the engine confines containers by it.
    pub is_used_by_engine: bool,
    /// Where this program lies.
    pub program: PathBuf,
    /// Folders that containers mount whose label keeps containers out, and the label.
    pub unlabelled: Vec<(PathBuf, String)>,
}

/// platform.env, without its values.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EnvironmentFacts {
    /// What Compose would refuse.
    pub error: Option<String>,
    /// Mode and owner.
    pub access: (u32, u32),
    /// Keys that are assigned more than once.
    pub duplicates: Vec<String>,
    /// Keys whose value Compose changes, and variables in it that are set nowhere.
    pub interpolated: Vec<(String, Vec<String>)>,
    /// Keys that are missing.
    pub missing: Vec<String>,
    /// Faults of secrets, by key.
    pub secrets: BTreeMap<String, Vec<Fault>>,
    /// Keys whose value stands in the environment of a container of the platform.
    pub exposed: Vec<(String, String)>,
}

/// A file or folder that is not as it should be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileFacts {
    /// Where.
    pub path: PathBuf,
    /// missing, content, owner or mode.
    pub difference: String,
    /// Mode and owner as they should be.
    pub wanted: (u32, u32),
    /// Mode and owner as they are.
    pub found: Option<(u32, u32)>,
}

/// A container's log.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LogFacts {
    /// Bytes of all generations.
    pub bytes: u64,
    /// Since the oldest of them began.
    pub seconds: u64,
}

/// PostgreSQL's answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PostgresFacts {
    /// Settings by name; sizes in their own units.
    pub settings: BTreeMap<String, String>,
    /// maintenance_work_mem in bytes.
    pub maintenance_work_mem_bytes: i64,
    /// Client connections.
    pub connections: i64,
    /// Age of the oldest unfrozen transaction id over all databases.
    pub xid_age: i64,
    /// Bytes of WAL on disk.
    pub wal_bytes: i64,
    /// Replication slots that nobody reads, with the bytes they hold.
    pub idle_slots: Vec<(String, i64)>,
    /// Databases whose collation is of another library version.
    pub collations: Vec<String>,
    /// Database, extension, installed and available version.
    pub extensions: Vec<(String, String, String, String)>,
    /// Lines of pg_hba.conf that let other hosts in without a password.
    pub open_hba: Vec<String>,
    /// Superusers besides the platform's own.
    pub superusers: Vec<String>,
    /// Seconds of the oldest open transaction.
    pub oldest_transaction_seconds: i64,
    /// Databases that were set aside, with their bytes.
    pub kept: Vec<(String, u64)>,
    /// Indexes that are not valid.
    pub invalid_indexes: Vec<String>,
    /// Failed archive commands since the last that worked.
    pub archive_failures: i64,
}

/// Redis' answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RedisFacts {
    /// INFO.
    pub info: BTreeMap<String, String>,
    /// CONFIG GET, without secrets.
    pub config: BTreeMap<String, String>,
    /// Whether it answers without a password.
    pub open: bool,
}

/// PgBouncer's answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PoolerFacts {
    /// Its version.
    pub version: String,
    /// SHOW CONFIG.
    pub config: BTreeMap<String, String>,
    /// Databases that are paused.
    pub paused: Vec<String>,
    /// Clients.
    #[serde(default)]
    pub clients: i64,
    /// Connections to the database: in use, and all.
    #[serde(default)]
    pub servers: (i64, i64),
    /// Clients that wait, and for how many seconds the longest.
    pub waiting: (i64, i64),
    /// Users whose secret in userlist.txt is an md5 hash.
    pub md5_users: Vec<String>,
    /// Whether a login through it reached the database; the error if not.
    pub login_error: Option<String>,
}
