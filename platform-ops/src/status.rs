//! The platform at one look.

mod change;
mod screen;

pub use change::between;
pub use screen::screen;

use std::collections::{BTreeMap, BTreeSet};

use bytesize::ByteSize;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::container::Container;
use crate::disk::Room;
use crate::doctor::{BackupFacts, Facts, Finding, Report, Severity};
use crate::service::Service;

/// What `status` shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// When it looked.
    pub at: Timestamp,
    /// Each service, in the order in which they start.
    pub services: Vec<ServiceStatus>,
    /// File systems, by what lies on them.
    pub disks: BTreeMap<String, Room>,
    /// Room under which commands that need room refuse, in bytes.
    pub disk_floor_bytes: u64,
    /// Databases that were set aside, with their bytes.
    #[serde(default)]
    pub kept: Vec<(String, u64)>,
    /// Findings of `doctor`.
    pub faults: usize,
    /// Findings of `doctor`.
    pub warnings: usize,
    /// Faults and warnings, each by check and subject.
    #[serde(default)]
    pub findings: BTreeSet<String>,
    /// Bytes of memory of the host, and those that can be had without swapping.
    #[serde(default)]
    pub memory_bytes: (u64, u64),
    /// Bytes of logs that the agent lost since it started.
    #[serde(default)]
    pub lost_bytes: Option<u64>,
    /// The first of the faults, in words.
    pub worst: Vec<String>,
    /// The backups, as far as this host knows.
    #[serde(default)]
    pub backup: BackupFacts,
    /// What could not be looked at.
    pub gaps: Vec<String>,
    /// What is different from the last look.
    pub changes: Vec<String>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Which.
    pub service: Service,
    /// Its container's name and id.
    pub container: Option<(String, String)>,
    /// running, exited, …; missing without a container.
    pub state: String,
    /// healthy, unhealthy, starting; None without a check.
    pub health: Option<String>,
    /// Whether a hand-made stack started it.
    pub adopted: bool,
    /// Its image as it was asked for.
    pub image: String,
    /// The server's own version, where it could be asked.
    pub version: Option<String>,
    /// RFC 3339.
    pub started_at: String,
    /// Bytes of memory that it uses, and its limit; 0 is none.
    #[serde(default)]
    pub memory_bytes: Option<(u64, u64)>,
    /// What it says of its load.
    pub load: String,
}

impl Status {
    /// Puts it together.
    pub fn of(facts: &Facts, report: &Report, last: Option<&Self>) -> Self {
        let adopted = |service: &Service| {
            facts
                .names
                .as_ref()
                .is_some_and(|names| names.adopted.contains(service))
        };
        let services = facts.names.iter().flat_map(|names| names.services());
        let service = |service: Service| service_status(facts, service, adopted(&service));
        let faults = report
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Fault);
        let serious = |finding: &&Finding| finding.severity != Severity::Note;
        let name = |finding: &Finding| format!("{} {}", finding.check, finding.subject);
        let mut status = Self {
            at: facts.at,
            services: services.map(service).collect(),
            disks: facts.host.disks.clone(),
            disk_floor_bytes: crate::disk::FLOOR_BYTES,
            kept: facts
                .postgres
                .as_ref()
                .map(|postgres| postgres.kept.clone())
                .unwrap_or_default(),
            faults: report.count(Severity::Fault),
            warnings: report.count(Severity::Warning),
            findings: report.findings.iter().filter(serious).map(name).collect(),
            memory_bytes: facts.host.memory_bytes,
            lost_bytes: facts
                .agent
                .as_ref()
                .and_then(|agent| agent["lost_bytes"].as_u64()),
            worst: faults
                .take(3)
                .map(|finding| format!("{}: {}", finding.subject, finding.evidence))
                .collect(),
            backup: facts.backup.clone(),
            gaps: facts
                .gaps
                .iter()
                .map(|(what, why)| format!("{what}: {why}"))
                .collect(),
            changes: Vec::new(),
        };
        if let Some(last) = last {
            status.changes = between(last, &status);
        }
        status
    }

    /// Whether every service is up and healthy.
    pub fn is_well(&self) -> bool {
        let well = |service: &ServiceStatus| {
            service.state == "running"
                && service
                    .health
                    .as_deref()
                    .is_none_or(|health| health == "healthy")
        };
        !self.services.is_empty() && self.services.iter().all(well)
    }
}

fn service_status(facts: &Facts, service: Service, adopted: bool) -> ServiceStatus {
    let container = facts
        .containers
        .get(&service)
        .and_then(|containers| containers.first());
    let text = |get: fn(&Container) -> &String| container.map(get).cloned().unwrap_or_default();
    ServiceStatus {
        service,
        container: container.map(|container| (container.name.clone(), container.id.clone())),
        // Without an engine nothing is known to be missing.
        state: match container {
            Some(container) => container.state.clone(),
            None if facts.engine.is_some() => "missing".to_owned(),
            None => "unknown".to_owned(),
        },
        health: container
            .filter(|container| container.is_running())
            .and_then(|container| container.health.clone()),
        adopted,
        image: text(|container| &container.image),
        version: version(facts, service),
        started_at: text(|container| &container.started_at),
        memory_bytes: container.and_then(|container| {
            let limit = u64::try_from(container.memory_bytes_max).unwrap_or(0);
            Some((*facts.memory.get(&service)?, limit))
        }),
        load: load(facts, service),
    }
}

fn version(facts: &Facts, service: Service) -> Option<String> {
    let first = |text: &String| text.split_whitespace().next().map(str::to_owned);
    match service {
        Service::Postgres => facts
            .postgres
            .as_ref()?
            .settings
            .get("server_version")
            .and_then(first),
        Service::Redis => facts.redis.as_ref()?.info.get("redis_version").cloned(),
        Service::Pgbouncer => facts
            .pooler
            .as_ref()?
            .version
            .split_whitespace()
            .last()
            .map(str::to_owned),
        Service::Agent => facts.agent.as_ref()?["version"].as_str().map(str::to_owned),
    }
}

fn load(facts: &Facts, service: Service) -> String {
    let text = match service {
        Service::Postgres => facts.postgres.as_ref().map(|postgres| {
            let max = postgres
                .settings
                .get("max_connections")
                .map_or("?", String::as_str);
            let wal = ByteSize(u64::try_from(postgres.wal_bytes).unwrap_or(0));
            format!(
                "{} of {max} connections, {wal} WAL, xid age {} M",
                postgres.connections,
                postgres.xid_age / 1_000_000
            )
        }),
        Service::Redis => facts.redis.as_ref().map(|redis| {
            let bytes = |name: &str| {
                ByteSize(
                    redis
                        .info
                        .get(name)
                        .and_then(|value| value.parse().ok())
                        .unwrap_or(0),
                )
            };
            let clients = redis
                .info
                .get("connected_clients")
                .map_or("?", String::as_str);
            format!(
                "{} of {} memory, {clients} clients",
                bytes("used_memory"),
                bytes("maxmemory")
            )
        }),
        Service::Pgbouncer => facts.pooler.as_ref().map(|pooler| {
            let (waiting, seconds) = pooler.waiting;
            let mode = pooler.config.get("pool_mode").map_or("?", String::as_str);
            let paused = if pooler.paused.is_empty() {
                String::new()
            } else {
                format!(", PAUSED: {}", pooler.paused.join(", "))
            };
            let size = pooler
                .config
                .get("default_pool_size")
                .map_or("?", String::as_str);
            let (clients, (busy, open)) = (pooler.clients, pooler.servers);
            format!("{clients} clients, {waiting} wait ({seconds} s); {busy} of {open} connections busy, {size} a pool ({mode}){paused}")
        }),
        Service::Agent => facts.agent.as_ref().map(|agent| {
            let bytes = |name: &str| ByteSize(agent[name].as_u64().unwrap_or(0));
            format!(
                "{} behind, {} lost",
                bytes("lag_bytes"),
                bytes("lost_bytes")
            )
        }),
    };
    text.unwrap_or_default()
}
