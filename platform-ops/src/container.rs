//! A container as the engine describes it, reduced to what this program looks at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Compose's labels.
pub const LABEL_PROJECT: &str = "com.docker.compose.project";
/// The service's name within the project.
pub const LABEL_SERVICE: &str = "com.docker.compose.service";
/// What the container was made from; another hash means a new container.
pub const LABEL_CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// The folder of the project.
pub const LABEL_WORKING_DIR: &str = "com.docker.compose.project.working_dir";

/// The project's compose files.
pub const LABEL_CONFIG_FILES: &str = "com.docker.compose.project.config_files";

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// 64 hex digits.
    pub id: String,
    /// Without the slash.
    pub name: String,
    /// As it was asked for: `redis:7.2`.
    pub image: String,
    /// `sha256:…` of what it runs.
    pub image_id: String,
    /// created, running, paused, restarting, exited, dead.
    pub state: String,
    /// starting, healthy, unhealthy; None without a health check.
    pub health: Option<String>,
    /// What the last health check printed.
    pub health_output: String,
    /// Of the last end.
    pub exit_code: i64,
    /// The kernel ended it for want of memory.
    pub oom_killed: bool,
    /// RFC 3339.
    pub started_at: String,
    /// Restarts by the engine since it was made.
    pub restarts: i64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Environment. Holds secrets: it never leaves this program.
    #[serde(skip)]
    pub env: BTreeMap<String, String>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Address by network.
    pub networks: BTreeMap<String, String>,
    /// Published ports.
    pub published: Vec<Published>,
    /// Log driver in force for this container.
    pub log_driver: String,
    /// Its options.
    pub log_options: BTreeMap<String, String>,
    /// Where the json-file log is.
    pub log_path: String,
    /// no, on-failure, always, unless-stopped.
    pub restart_policy: String,
    /// Bytes of /dev/shm.
    pub shm_bytes: i64,
    /// Limit in bytes; 0 is none.
    pub memory_bytes_max: i64,
    /// Has every right on the host.
    pub privileged: bool,
    /// What it asks of SELinux, seccomp and the like: `label=disable`.
    #[serde(default)]
    pub security_options: Vec<String>,
    /// Command of the health check.
    pub health_test: Vec<String>,
    /// Its start period in nanoseconds.
    pub health_start_ns: i64,
    /// Entrypoint.
    pub entrypoint: Vec<String>,
    /// Arguments.
    pub command: Vec<String>,
    /// Signal that stops it; the image's or SIGTERM when empty.
    pub stop_signal: String,
    /// Seconds before it is killed; None is the engine's 10.
    pub stop_seconds: Option<i64>,
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// bind, volume, tmpfs.
    pub kind: String,
    /// Path on the host.
    pub source: String,
    /// Path inside.
    pub destination: String,
    /// Name of the volume; 64 hex digits when nobody gave it one.
    pub volume: String,
    /// Whether the container may write.
    pub writable: bool,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// Address on the host; empty and 0.0.0.0 are all of them.
    pub address: String,
    /// Port on the host.
    pub host_port: String,
    /// Port inside, as `5432/tcp`.
    pub port: String,
}

impl Published {
    /// Whether other hosts reach it.
    pub fn is_public(&self) -> bool {
        !(self.address.starts_with("127.") || self.address == "::1")
    }
}

impl Container {
    /// Reads what the engine's inspect call answered.
    pub fn from_inspect(inspect: &Value) -> Self {
        let config = &inspect["Config"];
        let host = &inspect["HostConfig"];
        let state = &inspect["State"];
        Self {
            id: text(&inspect["Id"]),
            name: text(&inspect["Name"]).trim_start_matches('/').to_owned(),
            image: text(&config["Image"]),
            image_id: text(&inspect["Image"]),
            state: text(&state["Status"]),
            health: state["Health"]["Status"]
                .as_str()
                .filter(|s| *s != "none" && !s.is_empty())
                .map(str::to_owned),
            health_output: state["Health"]["Log"]
                .as_array()
                .and_then(|log| log.last())
                .map(|last| text(&last["Output"]))
                .unwrap_or_default(),
            exit_code: number(&state["ExitCode"]),
            oom_killed: state["OOMKilled"].as_bool().unwrap_or(false),
            started_at: text(&state["StartedAt"]),
            restarts: number(&inspect["RestartCount"]),
            labels: map(&config["Labels"]),
            env: environment(&config["Env"]),
            mounts: list(&inspect["Mounts"]).map(mount).collect(),
            networks: addresses(&inspect["NetworkSettings"]["Networks"]),
            published: published(&host["PortBindings"]),
            log_driver: text(&host["LogConfig"]["Type"]),
            log_options: map(&host["LogConfig"]["Config"]),
            log_path: text(&inspect["LogPath"]),
            restart_policy: text(&host["RestartPolicy"]["Name"]),
            shm_bytes: number(&host["ShmSize"]),
            memory_bytes_max: number(&host["Memory"]),
            privileged: host["Privileged"].as_bool().unwrap_or(false),
            security_options: texts(&host["SecurityOpt"]),
            health_test: texts(&config["Healthcheck"]["Test"]),
            health_start_ns: number(&config["Healthcheck"]["StartPeriod"]),
            entrypoint: texts(&config["Entrypoint"]),
            command: texts(&config["Cmd"]),
            stop_signal: text(&config["StopSignal"]),
            stop_seconds: config["StopTimeout"].as_i64(),
        }
    }

    /// Whether its program runs.
    pub fn is_running(&self) -> bool {
        self.state == "running"
    }

    /// Whether it runs and its health check, if it has one, says so.
    pub fn is_healthy(&self) -> bool {
        self.is_running()
            && self
                .health
                .as_deref()
                .is_none_or(|health| health == "healthy")
    }

    /// A label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// The mount at a path inside.
    pub fn mount_at(&self, destination: &str) -> Option<&Mount> {
        self.mounts
            .iter()
            .find(|mount| mount.destination == destination)
    }

    /// An address at which the host reaches it.
    pub fn address(&self, network: &str) -> Option<&str> {
        let address = self
            .networks
            .get(network)
            .or_else(|| self.networks.values().next());
        address
            .map(String::as_str)
            .filter(|address| !address.is_empty())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn texts(value: &Value) -> Vec<String> {
    list(value).map(text).collect()
}

fn map(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

fn environment(value: &Value) -> BTreeMap<String, String> {
    let pairs = list(value).filter_map(|pair| pair.as_str()?.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn mount(value: &Value) -> Mount {
    Mount {
        kind: text(&value["Type"]),
        source: text(&value["Source"]),
        destination: text(&value["Destination"]),
        volume: text(&value["Name"]),
        writable: value["RW"].as_bool().unwrap_or(true),
    }
}

fn addresses(value: &Value) -> BTreeMap<String, String> {
    let networks = value.as_object().into_iter().flatten();
    networks
        .map(|(name, network)| (name.clone(), text(&network["IPAddress"])))
        .collect()
}

fn published(bindings: &Value) -> Vec<Published> {
    let ports = bindings.as_object().into_iter().flatten();
    ports
        .flat_map(|(port, hosts)| {
            list(hosts).map(move |host| Published {
                address: text(&host["HostIp"]),
                host_port: text(&host["HostPort"]),
                port: port.clone(),
            })
        })
        .collect()
}
