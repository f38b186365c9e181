//! The services of the platform, in the order in which they start.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A service.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// PostgreSQL with pgvector.
    Postgres,
    /// Redis.
    Redis,
    /// PgBouncer.
    Pgbouncer,
    /// platform-agent.
    Agent,
}

impl Service {
    /// All, in the order in which they start; they stop in the reverse one.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::Redis, Self::Pgbouncer, Self::Agent];

    /// As in compose.yaml and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Pgbouncer => "pgbouncer",
            Self::Agent => "agent",
        }
    }

    /// The name of its container where nothing else is configured.
    pub fn default_container(self) -> &'static str {
        match self {
            Self::Postgres => "postgres-db",
            Self::Redis => "redis",
            Self::Pgbouncer => "pgbouncer",
            Self::Agent => "platform-agent",
        }
    }

    /// Its key in platform.env: `PLATFORM_<SERVICE>_<what>`.
    pub fn key(self, what: &str) -> String {
        format!("PLATFORM_{}_{what}", self.name().to_uppercase())
    }

    /// The port that clients use; the agent has none.
    pub fn port(self) -> Option<u16> {
        match self {
            Self::Postgres => Some(5432),
            Self::Redis => Some(6379),
            Self::Pgbouncer => Some(6432),
            Self::Agent => None,
        }
    }

    /// Where its data lie inside the container.
    pub fn data_path(self) -> Option<&'static str> {
        match self {
            Self::Postgres => Some("/var/lib/postgresql/data"),
            Self::Redis => Some("/data"),
            Self::Agent => Some("/var/lib/platform-agent"),
            Self::Pgbouncer => None,
        }
    }

    /// The folder under `data/` that compose.yaml mounts where nothing else is configured.
    pub fn default_data(self) -> &'static str {
        match self {
            Self::Agent => "platform-agent",
            other => other.name(),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
