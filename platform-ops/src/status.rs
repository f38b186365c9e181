//! The platform at one look.

use std::collections::BTreeMap;

use bytesize::ByteSize;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backup::schedule::local;
use crate::container::Container;
use crate::disk::Room;
use crate::doctor::{BackupFacts, Facts, Report, Severity};
use crate::output::{Output, Tone};
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
            status.changes = changes(last, &status);
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
            format!("{mode} pools, {waiting} clients wait ({seconds} s){paused}")
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

/// What became different between two looks.
fn changes(last: &Status, now: &Status) -> Vec<String> {
    let mut changes = Vec::new();
    for service in &now.services {
        let name = service.service;
        let Some(before) = last.services.iter().find(|before| before.service == name) else {
            changes.push(format!("{name} is new"));
            continue;
        };
        let id = |status: &ServiceStatus| status.container.as_ref().map(|(_, id)| id.clone());
        if service.state == "unknown" || before.state == "unknown" {
            continue;
        }
        if id(before) != id(service) {
            changes.push(format!("{name} has another container"));
        } else if before.started_at != service.started_at {
            changes.push(format!("{name} was restarted"));
        }
        if before.state != service.state || before.health != service.health {
            let text = |status: &ServiceStatus| {
                status
                    .health
                    .clone()
                    .unwrap_or_else(|| status.state.clone())
            };
            changes.push(format!("{name} was {}, is {}", text(before), text(service)));
        }
        if before.version != service.version
            && before.version.is_some()
            && service.version.is_some()
        {
            let text = |status: &ServiceStatus| status.version.clone().unwrap_or_default();
            changes.push(format!(
                "{name} was version {}, is {}",
                text(before),
                text(service)
            ));
        }
    }
    if (last.faults, last.warnings) != (now.faults, now.warnings) {
        changes.push(format!(
            "findings were {} faults and {} warnings",
            last.faults, last.warnings
        ));
    }
    changes
}

/// The screen.
pub fn screen(output: Output, status: &Status) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["SERVICE", "STATE", "VERSION", "SINCE", "LOAD"]);
    for service in &status.services {
        let word = service
            .health
            .as_deref()
            .filter(|_| service.state == "running")
            .unwrap_or(&service.state);
        let adopted = if service.adopted { " (adopted)" } else { "" };
        let since = since(status.at, &service.started_at, &service.state);
        let version = service.version.clone().unwrap_or_else(|| "-".to_owned());
        table.add_row([
            format!("{}{adopted}", service.service),
            word.to_owned(),
            version,
            since,
            service.load.clone(),
        ]);
    }
    let mut text = format!("{table}\n")
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect::<String>();
    let mut line = |tone: Option<Tone>, label: &str, content: String| {
        let content = tone.map_or_else(|| content.clone(), |tone| output.paint(tone, &content));
        text += &format!("{label:<9} {content}\n");
    };
    for (name, room) in &status.disks {
        let low = room.bytes_free < status.disk_floor_bytes;
        let content = format!(
            "{name}: {} of {} free (floor {})",
            ByteSize(room.bytes_free),
            ByteSize(room.bytes),
            ByteSize(status.disk_floor_bytes)
        );
        line(low.then_some(Tone::Bad), "disk", content);
    }
    for (name, bytes) in &status.kept {
        let size = ByteSize(*bytes);
        let content = format!("{name}, {size}; to free it: platform-ops db drop {name}");
        line(None, "kept", content);
    }
    let backup = &status.backup;
    let tone = match (backup.alarms.is_empty(), backup.last) {
        (false, _) => Tone::Bad,
        (true, None) => Tone::Warn,
        (true, Some(_)) => Tone::Good,
    };
    line(Some(tone), "backups", backups(backup));
    for alarm in &backup.alarms {
        line(Some(Tone::Bad), "", alarm.text.clone());
    }
    let tone = if status.faults > 0 {
        Tone::Bad
    } else if status.warnings > 0 {
        Tone::Warn
    } else {
        Tone::Good
    };
    line(
        Some(tone),
        "doctor",
        format!("{} faults, {} warnings", status.faults, status.warnings),
    );
    for worst in &status.worst {
        line(Some(Tone::Bad), "", worst.clone());
    }
    for gap in &status.gaps {
        line(Some(Tone::Dim), "unseen", gap.clone());
    }
    for change in &status.changes {
        line(None, "changed", change.clone());
    }
    text
}

/// How old the last set is, whether one was restored, and what a disaster costs.
fn backups(backup: &BackupFacts) -> String {
    let at = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), local);
    let by = match &backup.started_by[..] {
        [] => "nothing".to_owned(),
        by => by.join(" and "),
    };
    format!(
        "last set {}, last drill {}, started by {by}; a disaster costs what was written since the last set: one interval at most, while they succeed",
        at(backup.last),
        at(backup.proven)
    )
}

fn since(now: Timestamp, started_at: &str, state: &str) -> String {
    let Ok(started) = started_at.parse::<Timestamp>() else {
        return "-".to_owned();
    };
    if state != "running" {
        return "-".to_owned();
    }
    let seconds = u64::try_from(now.as_second() - started.as_second()).unwrap_or(0);
    let rounded = if seconds > 3600 {
        seconds - seconds % 60
    } else {
        seconds
    };
    humantime::format_duration(std::time::Duration::from_secs(rounded)).to_string()
}
