//! `doctor` on the facts of a real host, in which faults are planted that no test can cause.

#![allow(clippy::unwrap_used)]

mod host;

use std::process::Command;

use host::Host;
use platform_ops::backup::alarm::{Alarm, Kind};
use platform_ops::container::Container;
use platform_ops::disk::Room;
use platform_ops::doctor::{self, EngineFacts, Facts, LogFacts, PostgresFacts};
use platform_ops::service::Service;
use serde_json::Value;

/// A check, and how its fault is planted.
type Planted = (&'static str, fn(&mut Facts));

const MACHINE: &[Planted] = &[
    ("engine.podman", |facts| {
        engine(facts).components.push("Podman Engine".to_owned())
    }),
    ("engine.version", |facts| {
        engine(facts).version = "19.03.15".to_owned()
    }),
    ("engine.version", |facts| facts.engine = None),
    ("engine.log-driver", |facts| {
        engine(facts).log_driver = "journald".to_owned()
    }),
    ("compose.version", |facts| facts.compose_version = None),
    ("compose.version", |facts| {
        facts.compose_version = Some("1.29.2".to_owned())
    }),
    ("host.modules", |facts| {
        facts.host.modules_missing.push("xt_addrtype".to_owned())
    }),
    ("host.clock", |facts| {
        facts.host.clock_synchronised = Some(false)
    }),
    ("host.disk", |facts| disk(facts).bytes_free = 1 << 20),
    ("host.inodes", |facts| disk(facts).inodes_free = 1),
    ("host.cron-backup", |facts| {
        facts
            .host
            .cron_backups
            .push("0 3 * * * root /srv/apps/backup.sh".to_owned())
    }),
    ("network.missing", |facts| facts.network_driver = None),
    ("network.missing", |facts| {
        facts.network_driver = Some("macvlan".to_owned())
    }),
    ("host.file", |facts| {
        let file = "/etc/docker/daemon.json".to_owned();
        facts.host.files = vec![(file, "differs".to_owned())];
    }),
    ("look.gap", |facts| {
        facts
            .gaps
            .push(("postgres".to_owned(), "no answer".to_owned()))
    }),
];

const SERVICES: &[Planted] = &[
    ("container.privileged", |facts| {
        service(facts, |container| container.privileged = true);
    }),
    ("container.oom", |facts| {
        service(facts, |container| container.oom_killed = true);
    }),
    ("container.restarts", |facts| {
        service(facts, |container| container.restarts = 12);
    }),
    ("container.unhealthy", |facts| {
        service(facts, |container| {
            container.health = Some("unhealthy".to_owned())
        });
    }),
    ("container.architecture", |facts| {
        facts
            .image_architectures
            .insert(Service::Postgres, "s390x".to_owned());
    }),
    ("log.outage", |facts| {
        service(facts, |container| {
            container.log_driver = "json-file".to_owned();
            container
                .log_options
                .insert("max-size".to_owned(), "10m".to_owned());
        });
        let hour = LogFacts {
            bytes: 10 << 20,
            seconds: 7200,
        };
        facts.logs.insert("postgres-db".to_owned(), hour);
    }),
    ("log.rotation", |facts| {
        service(facts, |container| {
            container.log_driver = "json-file".to_owned()
        });
    }),
    ("postgres.xid", |facts| {
        postgres(facts).xid_age = 1_500_000_000
    }),
    ("postgres.wal", |facts| {
        postgres(facts).wal_bytes = 100 << 30
    }),
    ("postgres.connections", |facts| {
        postgres(facts).connections = 95;
        postgres(facts)
            .settings
            .insert("max_connections".to_owned(), "100".to_owned());
    }),
    ("postgres.transaction", |facts| {
        postgres(facts).oldest_transaction_seconds = 7200;
    }),
    ("postgres.archive", |facts| {
        postgres(facts).archive_failures = 3
    }),
    ("backup.none", |facts| facts.backup.configured = Some(false)),
    ("backup.schedule", |facts| {
        facts.backup.configured = Some(true)
    }),
    ("backup.schedule", |facts| {
        facts.backup.configured = Some(true);
        facts.backup.started_by = vec!["systemd".to_owned()];
        facts.host.cron_backups = vec!["0 2 * * * /srv/apps/backup.sh".to_owned()];
    }),
    ("backup.failed", |facts| alarm(facts, Kind::Failed)),
    ("backup.age", |facts| alarm(facts, Kind::Stale)),
    ("backup.drill", |facts| alarm(facts, Kind::Undrilled)),
    ("backup.escrow", |facts| alarm(facts, Kind::Escrow)),
    ("backup.size", |facts| alarm(facts, Kind::Size)),
];

fn alarm(facts: &mut Facts, kind: Kind) {
    let text = "planted".to_owned();
    facts.backup.alarms = vec![Alarm { kind, text }];
}

#[test]
fn every_check_of_the_machine_finds_its_fault() {
    let host = Host::initialised();
    let run = Command::new(env!("CARGO_BIN_EXE_platform-ops"))
        .args(["doctor", "--list", "--json"])
        .output()
        .unwrap();
    let listed: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert!(listed["checks"].as_array().unwrap().len() >= 70);
    let facts = gathered(&host);
    for (check, plant) in MACHINE.iter().chain(SERVICES) {
        let mut facts = facts.clone();
        plant(&mut facts);
        let report = doctor::examine(&facts, &doctor::Waivers::default(), facts.at);
        assert!(
            report
                .findings
                .iter()
                .any(|finding| finding.check == *check),
            "{check}"
        );
    }
}

fn engine(facts: &mut Facts) -> &mut EngineFacts {
    facts.engine.as_mut().unwrap()
}

fn disk(facts: &mut Facts) -> &mut Room {
    facts.host.disks.values_mut().next().unwrap()
}

fn postgres(facts: &mut Facts) -> &mut PostgresFacts {
    facts.postgres.get_or_insert_default()
}

fn service(facts: &mut Facts, plant: impl Fn(&mut Container)) {
    let mut container = Container {
        name: "postgres-db".to_owned(),
        state: "running".to_owned(),
        ..Container::default()
    };
    plant(&mut container);
    facts.neighbours.push(container.clone());
    facts.containers.insert(Service::Postgres, vec![container]);
}

/// The facts of a real host.
fn gathered(host: &Host) -> Facts {
    use clap::Parser;
    let root = host.root().display().to_string();
    let cli = platform_ops::cli::Cli::parse_from(["platform-ops", "--root", &root, "doctor"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let session = platform_ops::session::Session::begin(cli.global).unwrap();
        doctor::gather(&session).await
    })
}
