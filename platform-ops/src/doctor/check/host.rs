//! The machine and its engine.

use bytesize::ByteSize;
use serde_json::{Value, json};

use super::{Facts, Fault, Finding, Note, Warning, finding};
use crate::disk::FLOOR_BYTES;
use crate::host_file::PROGRAM;
use crate::service::Service;

/// The oldest engine that these checks know.
const ENGINE_MIN: (u64, u64) = (20, 10);
/// What that engine speaks; an older one lacks calls that are made here.
const API_MIN: (u64, u64) = (1, 41);
/// Several `--env-file` from here on.
const COMPOSE_MIN: (u64, u64) = (2, 17);

pub(super) fn gaps(facts: &Facts) -> Vec<Finding> {
    let found = facts.gaps.iter();
    found
        .map(|(what, why)| {
            finding(
                Warning,
                what,
                format!("could not look: {why}"),
                "run it as root, with the services up",
            )
        })
        .collect()
}

pub(super) fn podman(facts: &Facts) -> Vec<Finding> {
    let components = facts.engine.iter().flat_map(|engine| &engine.components);
    components
        .filter(|name| name.to_lowercase().contains("podman"))
        .map(|name| {
            finding(Fault, "engine", format!("what answers as docker is {name}"), "dnf remove podman-docker && dnf install docker-ce docker-ce-cli containerd.io docker-compose-plugin")
        })
        .collect()
}

/// Major and minor of a version.
pub(super) fn version(text: &str) -> Option<(u64, u64)> {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut parts = digits.split(|c: char| !c.is_ascii_digit());
    Some((
        parts.next()?.parse().ok()?,
        parts
            .next()
            .and_then(|minor| minor.parse().ok())
            .unwrap_or(0),
    ))
}

pub(super) fn engine_version(facts: &Facts) -> Vec<Finding> {
    let Some(engine) = &facts.engine else {
        return vec![finding(
            Fault,
            "engine",
            "no Docker engine answers",
            "systemctl enable --now docker",
        )];
    };
    let is_older = |text: &str, min| version(text).is_some_and(|version| version < min);
    if is_older(&engine.version, ENGINE_MIN) || is_older(&engine.api_version, API_MIN) {
        let evidence = format!("Docker {}, API {}", engine.version, engine.api_version);
        return vec![finding(Fault, "engine", evidence, "dnf upgrade docker-ce")];
    }
    Vec::new()
}

/// What daemon.json would be with rotation: shown, never written.
fn merged(daemon_json: Option<&Value>) -> Value {
    let mut merged = daemon_json.cloned().unwrap_or_else(|| json!({}));
    merged["log-driver"] = json!("json-file");
    let mut options = merged["log-opts"].as_object().cloned().unwrap_or_default();
    // Numbers must be strings here, or the engine does not start.
    options.entry("max-size").or_insert(json!("50m"));
    options.entry("max-file").or_insert(json!("4"));
    merged["log-opts"] = Value::Object(options);
    merged
}

pub(super) fn daemon_log(facts: &Facts) -> Vec<Finding> {
    let Some(engine) = &facts.engine else {
        return Vec::new();
    };
    let options = engine.daemon_json.as_ref().map(|json| &json["log-opts"]);
    let rotates = options.is_some_and(|options| options["max-size"].is_string());
    if engine.log_driver == "json-file" && rotates {
        return Vec::new();
    }
    let merge = merged(engine.daemon_json.as_ref());
    let evidence = format!(
        "new containers that say nothing log to {}{}",
        engine.log_driver,
        if rotates { "" } else { " without rotation" }
    );
    let fix = format!(
        "merge into /etc/docker/daemon.json: {merge}; it holds for containers made after the next restart of the engine, which you choose"
    );
    vec![finding(Note, "daemon.json", evidence, fix)]
}

pub(super) fn compose_version(facts: &Facts) -> Vec<Finding> {
    let fix = "dnf install docker-compose-plugin";
    match facts.compose_version.as_deref() {
        None => vec![finding(
            Fault,
            "compose",
            "Docker has no compose plug-in",
            fix,
        )],
        Some(text) if version(text).is_none_or(|version| version < COMPOSE_MIN) => {
            vec![finding(
                Fault,
                "compose",
                format!("Compose {text} takes one --env-file only"),
                fix,
            )]
        }
        Some(_) => Vec::new(),
    }
}

pub(super) fn modules(facts: &Facts) -> Vec<Finding> {
    let missing = &facts.host.modules_missing;
    if missing.is_empty() {
        return Vec::new();
    }
    let evidence = format!(
        "the kernel cannot load {}: the engine will not start again",
        missing.join(", ")
    );
    vec![finding(
        Fault,
        "kernel",
        evidence,
        "dnf install kernel-modules-extra-$(uname -r)",
    )]
}

pub(super) fn clock(facts: &Facts) -> Vec<Finding> {
    if facts.host.clock_synchronised != Some(false) {
        return Vec::new();
    }
    let evidence = "the kernel counts its clock as not synchronised; Oracle refuses requests that are 5 minutes off";
    vec![finding(
        Warning,
        "clock",
        evidence,
        "systemctl enable --now chronyd && chronyc tracking",
    )]
}

pub(super) fn disk(facts: &Facts) -> Vec<Finding> {
    let disks = facts.host.disks.iter();
    disks
        .filter_map(|(name, room)| {
            let percent = room.bytes_free * 100 / room.bytes.max(1);
            let severity = if room.bytes_free < FLOOR_BYTES {
                Fault
            } else if percent < 10 && room.bytes_free < 10 * FLOOR_BYTES {
                Warning
            } else {
                return None;
            };
            let evidence = format!("{} free, {percent} %", ByteSize(room.bytes_free));
            Some(finding(
                severity,
                name,
                evidence,
                format!("du -xh --max-depth=2 {name} | sort -h | tail"),
            ))
        })
        .collect()
}

pub(super) fn inodes(facts: &Facts) -> Vec<Finding> {
    let counted = facts.host.disks.iter().filter(|(_, room)| room.inodes > 0);
    counted
        .filter(|(_, room)| room.inodes_free * 20 < room.inodes)
        .map(|(name, room)| {
            let evidence = format!("{} of {} inodes free", room.inodes_free, room.inodes);
            finding(
                Fault,
                name,
                evidence,
                format!("du --inodes -x --max-depth=2 {name} | sort -n | tail"),
            )
        })
        .collect()
}

pub(super) fn files(facts: &Facts) -> Vec<Finding> {
    let masters = facts.root.join("config/host");
    let files = facts.host.files.iter();
    files
        .map(|(path, difference)| {
            let master = masters.join(std::path::Path::new(path).file_name().unwrap_or_default());
            let (severity, evidence) = match difference.as_str() {
                "missing" => (Note, "it is not installed".to_owned()),
                "unkept" => (Note, format!("{} does not hold it: no backup has it", masters.display())),
                _ => (Warning, format!("it differs from its master {}", master.display())),
            };
            let fix = if path == PROGRAM {
                format!("platform-ops up makes the installed one the master; back to the master: install -m 755 {} {path}", master.display())
            } else if path.ends_with(".json") || path.contains("metadata-firewall") {
                format!("compare them, and copy the right one over the other: {} {path}", master.display())
            } else if path.contains("platform-ops-backup") {
                format!("compare it with its master {}, move it away, platform-ops backup schedule install", master.display())
            } else {
                format!("install -m 644 {} {path} && systemctl daemon-reload && systemctl enable --now platform-ops-doctor.timer", master.display())
            };
            finding(severity, path, evidence, fix)
        })
        .collect()
}

pub(super) fn cron(facts: &Facts) -> Vec<Finding> {
    let lines = facts.host.cron_backups.iter();
    lines
        .map(|line| {
            let evidence = format!("{line:?}: cron passes no environment, and a backup that fails there says so to nobody");
            finding(Note, "backup.sh", evidence, "platform-ops backup schedule install --replace-cron")
        })
        .collect()
}

pub(super) fn prunes(facts: &Facts) -> Vec<Finding> {
    let lines = facts.host.cron_prunes.iter();
    lines
        .map(|line| {
            let evidence = format!("{line:?}: it takes what does not run at that hour: a stopped service's container with its log, images that pull fetched, anonymous volumes");
            finding(Warning, "prune", evidence, "docker image prune --filter until=720h is enough, and by hand")
        })
        .collect()
}

pub(super) fn selinux(facts: &Facts) -> Vec<Finding> {
    let Some(selinux) = &facts.host.selinux else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    if selinux.program.starts_with(&facts.root) {
        findings.push(finding(
            Warning,
            selinux.program.display(),
            format!(
                "SELinux is enforcing and lets no service run a program under {}",
                facts.root.display()
            ),
            format!(
                "install -m 755 {} /usr/local/bin/platform-ops",
                selinux.program.display()
            ),
        ));
    }
    for (folder, label) in &selinux.unlabelled {
        findings.push(finding(
            Fault,
            folder.display(),
            format!("the engine confines containers by SELinux, and label {label} keeps them out"),
            format!("chcon -R -t container_file_t {0}; semanage fcontext -a -t container_file_t '{0}(/.*)?' keeps it", folder.display()),
        ));
    }
    let agents = facts.containers.get(&Service::Agent).into_iter().flatten();
    let confined = agents.filter(|container| {
        let options = &container.security_options;
        selinux.is_used_by_engine && !options.iter().any(|option| option.contains("disable"))
    });
    findings.extend(confined.map(|_| {
        finding(
            Fault,
            Service::Agent,
            "the engine confines containers by SELinux: its policy keeps the agent from other containers' logs",
            "PLATFORM_AGENT_LABEL=disable in platform.env, then platform-ops up agent",
        )
    }));
    findings
}

pub(super) fn network(facts: &Facts) -> Vec<Finding> {
    let Some(names) = facts.names.as_ref().filter(|_| facts.engine.is_some()) else {
        return Vec::new();
    };
    match facts.network_driver.as_deref() {
        Some("bridge") => Vec::new(),
        Some(driver) => vec![finding(
            Fault,
            &names.network,
            format!("it is a network of driver {driver}, not a bridge"),
            format!("docker network rm {} && platform-ops up", names.network),
        )],
        None => vec![finding(
            Fault,
            &names.network,
            "there is no such network",
            "platform-ops up",
        )],
    }
}
