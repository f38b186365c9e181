//! The operator's configuration, in two stages: what was typed ([`layer`]: embedded defaults,
//! file, environment), and what it means ([`resolve`], [`Config`]).

pub mod layer;
pub mod quantity;
pub mod resolve;
mod table;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fast_glob::glob_match;
use oci::{AuthKind, ContentEncoding, LogId};
use tracing::Level;

use crate::disk::MinFree;
use layer::{Layers, Origin, Problem};
use quantity::StartAt;

/// The embedded defaults, which are their own documentation.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");

/// Where the configuration is looked for when no path is given.
pub const DEFAULT_PATH: &str = "/etc/platform-agent/agent.toml";

/// All that an operator may choose, resolved and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[source]`
    pub source: Source,
    /// `[state]`
    pub state: State,
    /// `[oci]`
    pub oci: Oci,
    /// `[logging]`
    pub logging: Logging,
    /// `[batch]`
    pub batch: Batch,
    /// `[send]`
    pub send: Send,
    /// `[memory] budget`, bytes.
    pub memory_budget_bytes: u64,
    /// `[limits]`
    pub limits: Limits,
    /// `[spool] max_bytes`: what is about to be lost in an outage, on disk; 0 = no spool.
    pub spool_bytes_max: u64,
    /// `[quarantine] max_bytes`: refused entries on disk.
    pub quarantine_bytes_max: u64,
    /// `[admin]`
    pub admin: Admin,
    /// `[heartbeat] every`
    pub heartbeat: Option<Duration>,
    /// `[shutdown] grace`
    pub grace: Duration,
    /// `[log]`
    pub log: Log,
}

/// Where the logs are, and which of them are shipped.
#[derive(Clone, Debug)]
pub struct Source {
    /// Docker's folder of containers.
    pub containers_dir: PathBuf,
    /// Which names are shipped.
    pub filter: NameFilter,
    /// Ship the agent's own log too.
    pub include_self: bool,
    /// What the very first start skips.
    pub start_at: StartAt,
    /// This host's name, when it is configured.
    pub host: Option<String>,
    /// A file with the host's name.
    pub host_file: Option<PathBuf>,
    /// Prefix of `type`.
    pub type_prefix: String,
    /// Nanoseconds in `time`.
    pub nanoseconds: bool,
    /// Marks in the text of parts.
    pub part_marks: bool,
    /// Put an entry into a log where lines of it are lost.
    pub gap_markers: bool,
    /// Age at which a join is given up.
    pub join_age_max: Duration,
    /// Between two looks at a log that grows.
    pub poll_interval: Duration,
    /// Between two looks at a quiet log.
    pub poll_interval_max: Duration,
    /// Between two looks at all folders.
    pub scan_interval: Duration,
    /// Use inotify.
    pub watch: bool,
    /// Descriptors held at once.
    pub open_files_max: usize,
    /// Bytes of deleted files held at once.
    pub held_bytes_max: u64,
}

/// Globs on container names.
#[derive(Clone, Debug)]
pub struct NameFilter {
    include: Vec<String>,
    exclude: Vec<String>,
}

impl NameFilter {
    /// Whether a container of this name (without the leading slash) is shipped.
    pub fn admits(&self, name: &str) -> bool {
        let is_in = |globs: &[String]| globs.iter().any(|glob| glob_match(glob, name));
        is_in(&self.include) && !is_in(&self.exclude)
    }
}

/// The state folder.
#[derive(Clone, Debug)]
pub struct State {
    /// Its path.
    pub dir: PathBuf,
    /// Least time between two checkpoints.
    pub save_interval: Duration,
}

/// How the agent signs in.
#[derive(Clone, Debug)]
pub struct Oci {
    /// Kind of credentials.
    pub auth: AuthKind,
    /// OCI's own configuration file, `~` not yet expanded; `None` for the usual one.
    pub config_file: Option<PathBuf>,
    /// Its profile; `None` for the usual one.
    pub profile: Option<String>,
    /// Overrides the region of the profile.
    pub region: Option<String>,
    /// Certificate authorities, instead of the system's.
    pub ca_bundle: Option<PathBuf>,
}

/// Where the lines go.
#[derive(Clone, Debug)]
pub struct Logging {
    /// The custom log.
    pub log_id: LogId,
    /// Instead of the region's endpoint.
    pub endpoint: Option<String>,
    /// Instead of the region's search endpoint.
    pub search_endpoint: Option<String>,
    /// Compartment and log group, as OCI's query language wants them in front of a log.
    pub search_scope: Option<String>,
    /// Retention of the log; zero for no limit.
    pub retention: Duration,
    /// Of request bodies.
    pub encoding: ContentEncoding,
}

/// One request's body.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Cap of its bytes.
    pub bytes_max: u64,
    /// Cap of its age.
    pub age_max: Duration,
}

/// Requests.
#[derive(Clone, Copy, Debug)]
pub struct Send {
    /// At once.
    pub in_flight_max: usize,
    /// Body bytes a second; 0 for no limit.
    pub bytes_per_second_max: u64,
    /// To connect.
    pub connect_timeout: Duration,
    /// From the first byte sent to the last byte received.
    pub timeout: Duration,
}

/// What the host keeps for others.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Free disk.
    pub min_free: MinFree,
    /// nice(2) value: 0 to 19.
    pub nice: i32,
    /// Threads that read and write bodies, each for its share of the containers.
    pub pipelines: usize,
}

/// The admin endpoint.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Unix socket, absolute.
    pub socket: Option<PathBuf>,
    /// TCP address.
    pub listen: Option<SocketAddr>,
}

/// How the agent's own log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The agent's own log.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// Text or JSON.
    pub format: LogFormat,
    /// Least severe level shown.
    pub level: Level,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    /// The problems, each with its key.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration:")?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// Loads the defaults, then the file, then these environment variables.
///
/// `path` is `None` when the operator gave none: then [`DEFAULT_PATH`] is read if it exists.
///
/// # Errors
/// All unknown keys and all wrong values at once.
pub fn load(
    path: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut layers = Layers::default();
    layers.lay_toml(None, DEFAULT_TOML);
    let file = path.unwrap_or(Path::new(DEFAULT_PATH));
    match std::fs::read_to_string(file) {
        Ok(text) => layers.lay_toml(Some(file), &text),
        Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => layers.problems.push(Problem {
            path: file.display().to_string(),
            origin: Origin::Default,
            text: error.to_string(),
        }),
    }
    layers.lay_environment(variables);
    table::resolve(layers).map_err(|problems| ConfigError { problems })
}

#[cfg(test)]
mod tests;
