//! `doctor` on the facts of a real host, in which faults are planted that no test can cause.

#![allow(clippy::unwrap_used)]

mod host;
mod planted;

use std::collections::BTreeSet;

use host::Host;
use platform_ops::backup::alarm::{Alarm, Kind};
use platform_ops::container::Container;
use platform_ops::disk::Room;
use platform_ops::doctor::{self, EngineFacts, Facts, LogFacts, PostgresFacts, SelinuxFacts};
use platform_ops::service::Service;
use serde_json::json;

/// A check, and how its fault is planted.
type Planted = (&'static str, fn(&mut Facts));

const MACHINE: &[Planted] = &[
    ("engine.podman", |facts| {
        engine(facts).components.push("Podman Engine".to_owned())
    }),
    ("engine.version", |facts| {
        engine(facts).version = "19.03.15".to_owned()
    }),
    ("engine.version", |facts| {
        engine(facts).api_version = "1.40".to_owned()
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
    ("agent.off", |_| {}),
    ("backup.none", |facts| facts.backup.configured = Some(false)),
    ("host.cron-prune", |facts| {
        let line = "0 4 * * 0 root docker system prune -af --volumes";
        facts.host.cron_prunes.push(line.to_owned());
    }),
    ("host.selinux", |facts| {
        selinux(facts).program = facts.root.join("bin/platform-ops");
    }),
    ("host.selinux", |facts| {
        let label = "system_u:object_r:var_t:s0".to_owned();
        let folder = facts.root.join("data/postgres");
        selinux(facts).unlabelled.push((folder, label));
    }),
    ("host.selinux", |facts| {
        selinux(facts).is_used_by_engine = true;
        facts
            .containers
            .insert(Service::Agent, vec![Container::default()]);
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
    ("secret.rotation", |facts| {
        facts.rotation = Some("REDIS_PASSWORD".to_owned())
    }),
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
    ("postgres.pgvector", |facts| vector(facts, "0.8.1")),
    ("health.pgbouncer", |facts| {
        let container = Container {
            image: "perconalab/percona-pgbouncer:1.24.1".to_owned(),
            state: "running".to_owned(),
            health_test: vec!["CMD-SHELL".to_owned(), "nc -z localhost 6432".to_owned()],
            ..Container::default()
        };
        facts.containers.insert(Service::Pgbouncer, vec![container]);
    }),
    ("pgbouncer.waiting", |facts| {
        facts.pooler.get_or_insert_default().waiting = (3, 20);
    }),
    ("redis.full", |facts| {
        let redis = facts.redis.get_or_insert_default();
        redis.info = [("used_memory", "95"), ("maxmemory", "100")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    }),
    ("agent.lag", |facts| {
        facts.agent = Some(json!({"lag_bytes": 1_u64 << 30}));
    }),
    ("agent.lag", |facts| {
        facts.agent = Some(json!({"unready_reason": "the log refuses entries"}));
    }),
    ("agent.loss", |facts| {
        facts.agent = Some(json!({"lost_bytes": 1}));
    }),
];

fn alarm(facts: &mut Facts, kind: Kind) {
    let text = "planted".to_owned();
    facts.backup.alarms = vec![Alarm { kind, text }];
}

fn vector(facts: &mut Facts, version: &str) {
    let version = version.to_owned();
    let row = (
        "app_db".to_owned(),
        "vector".to_owned(),
        version.clone(),
        version,
    );
    postgres(facts).extensions = vec![row];
}

fn selinux(facts: &mut Facts) -> &mut SelinuxFacts {
    facts.host.selinux.get_or_insert_default()
}

#[test]
fn every_check_of_the_machine_finds_its_fault() {
    let host = Host::initialised();
    let facts = gathered(&host);
    for (check, plant) in MACHINE.iter().chain(SERVICES) {
        let mut facts = facts.clone();
        plant(&mut facts);
        assert!(finds(&facts, check), "{check}");
    }
    // None of it is found where nothing is planted; of this machine nothing is promised.
    for (check, _) in SERVICES {
        assert!(!finds(&facts, check), "{check}");
    }
}

fn finds(facts: &Facts, check: &str) -> bool {
    let report = doctor::examine(facts, &doctor::Waivers::default(), facts.at);
    report.findings.iter().any(|finding| finding.check == check)
}

/// No check without a fault that some test plants, and no fault without a check; over forty of
/// them are planted into real servers, files and containers.
#[test]
fn every_check_has_its_planted_fault() {
    let real = planted::real();
    assert!(real.len() >= 40, "only {} are planted for real", real.len());
    let facts = MACHINE.iter().chain(SERVICES).map(|(check, _)| *check);
    let planted: BTreeSet<&str> = real.iter().map(|(check, _)| *check).chain(facts).collect();
    let checks: BTreeSet<&str> = doctor::CHECKS.iter().map(|check| check.id).collect();
    let missing: Vec<_> = checks.difference(&planted).collect();
    assert!(missing.is_empty(), "nobody plants {missing:?}");
    let unknown: Vec<_> = planted.difference(&checks).collect();
    assert!(unknown.is_empty(), "there is no check {unknown:?}");
}

/// T56: what cannot be seen in the index is seen in the version.
#[test]
fn t56_a_pgvector_with_known_corruption_is_told() {
    let host = Host::initialised();
    let mut facts = gathered(&host);
    for (version, is_found) in [
        ("0.8.0", true),
        ("0.8.2", true),
        ("0.8.3", false),
        ("0.10.0", false),
    ] {
        vector(&mut facts, version);
        assert_eq!(finds(&facts, "postgres.pgvector"), is_found, "{version}");
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
