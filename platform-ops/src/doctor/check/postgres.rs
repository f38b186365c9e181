//! PostgreSQL.

use bytesize::ByteSize;

use super::container::each;
use super::{Facts, Fault, Finding, Note, Warning, finding};
use crate::doctor::PostgresFacts;
use crate::service::Service;

const SUBJECT: Service = Service::Postgres;
/// The server stops at about 2 100 000 000.
const XID_AGE_MAX: i64 = 1_000_000_000;
const XID_AGE_WARN: i64 = 500_000_000;
const TRANSACTION_SECONDS_MAX: i64 = 3600;
/// Held by a slot before it is named.
const SLOT_BYTES_MAX: i64 = 1 << 30;
/// 0.8.2 fixes an overflow in parallel HNSW builds, 0.8.3 index corruption by vacuum.
const PGVECTOR_MIN: (u64, u64, u64) = (0, 8, 3);

fn facts_of(facts: &Facts) -> impl Iterator<Item = &PostgresFacts> {
    facts.postgres.iter()
}

fn size(bytes: i64) -> ByteSize {
    ByteSize(u64::try_from(bytes).unwrap_or(0))
}

pub(super) fn shm(facts: &Facts) -> Vec<Finding> {
    let container = each(facts)
        .find(|(service, _)| *service == SUBJECT)
        .map(|(_, container)| container);
    let both = facts_of(facts).zip(container);
    both.filter(|(postgres, container)| container.shm_bytes < postgres.maintenance_work_mem_bytes)
        .map(|(postgres, container)| {
            let evidence = format!(
                "/dev/shm is {}, maintenance_work_mem {}: a parallel HNSW build fails with \"could not resize shared memory segment\"",
                size(container.shm_bytes),
                size(postgres.maintenance_work_mem_bytes)
            );
            finding(Fault, SUBJECT, evidence, "raise PLATFORM_POSTGRES_SHM_SIZE or lower PLATFORM_POSTGRES_MAINTENANCE_WORK_MEM")
        })
        .collect()
}

pub(super) fn xid(facts: &Facts) -> Vec<Finding> {
    facts_of(facts)
        .filter(|postgres| postgres.xid_age > XID_AGE_WARN)
        .map(|postgres| {
            let severity = if postgres.xid_age > XID_AGE_MAX {
                Fault
            } else {
                Warning
            };
            let evidence = format!(
                "the oldest transaction id is {} old; at 2 100 000 000 nothing is written any more",
                postgres.xid_age
            );
            finding(
                severity,
                SUBJECT,
                evidence,
                "end old transactions and abandoned slots, then vacuumdb --all --freeze",
            )
        })
        .collect()
}

pub(super) fn wal(facts: &Facts) -> Vec<Finding> {
    // In MB, as pg_settings has it.
    let max = |postgres: &PostgresFacts| {
        postgres
            .settings
            .get("max_wal_size")
            .and_then(|mb| mb.parse::<i64>().ok())
            .unwrap_or(1024)
            << 20
    };
    facts_of(facts)
        .filter(|postgres| postgres.wal_bytes > 3 * max(postgres))
        .map(|postgres| {
            finding(
                Warning,
                SUBJECT,
                format!(
                    "{} of WAL on disk, max_wal_size is {}",
                    size(postgres.wal_bytes),
                    size(max(postgres))
                ),
                "look at pg_replication_slots and pg_stat_archiver",
            )
        })
        .collect()
}

pub(super) fn slots(facts: &Facts) -> Vec<Finding> {
    let slots = facts_of(facts).flat_map(|postgres| &postgres.idle_slots);
    slots
        .map(|(name, bytes)| {
            let severity = if *bytes > SLOT_BYTES_MAX {
                Fault
            } else {
                Warning
            };
            finding(
                severity,
                name,
                format!("nobody reads this slot, it holds {} of WAL", size(*bytes)),
                format!("select pg_drop_replication_slot('{name}')"),
            )
        })
        .collect()
}

pub(super) fn collation(facts: &Facts) -> Vec<Finding> {
    let databases = facts_of(facts).flat_map(|postgres| &postgres.collations);
    databases
        .map(|database| {
            finding(
                Fault,
                database,
                "its collation is of another libc: text indexes may be wrong",
                "reindexdb --all, then ALTER DATABASE … REFRESH COLLATION VERSION",
            )
        })
        .collect()
}

pub(super) fn extensions(facts: &Facts) -> Vec<Finding> {
    let extensions = facts_of(facts).flat_map(|postgres| &postgres.extensions);
    extensions
        .filter(|(_, _, installed, available)| installed != available && !available.is_empty())
        .map(|(database, name, installed, available)| {
            finding(
                Warning,
                format!("{database}/{name}"),
                format!("{installed} is installed, {available} is there"),
                format!("in {database}: ALTER EXTENSION {name} UPDATE"),
            )
        })
        .collect()
}

pub(super) fn pgvector(facts: &Facts) -> Vec<Finding> {
    let vectors = facts_of(facts)
        .flat_map(|postgres| &postgres.extensions)
        .filter(|(_, name, _, _)| name == "vector");
    vectors
        .filter(|(_, _, installed, _)| {
            let mut parts = installed.split('.').map(|part| part.parse().unwrap_or(0));
            let mut next = || parts.next().unwrap_or(0);
            (next(), next(), next()) < PGVECTOR_MIN
        })
        .map(|(database, _, installed, _)| {
            let evidence = format!("pgvector {installed}: before 0.8.3 vacuum can corrupt an HNSW index");
            finding(Warning, format!("{database}/vector"), evidence, "platform-ops pull, platform-ops up, ALTER EXTENSION vector UPDATE, REINDEX its HNSW indexes")
        })
        .collect()
}

pub(super) fn connections(facts: &Facts) -> Vec<Finding> {
    let max = |postgres: &PostgresFacts| {
        postgres
            .settings
            .get("max_connections")
            .and_then(|max| max.parse::<i64>().ok())
            .unwrap_or(i64::MAX)
    };
    facts_of(facts)
        .filter(|postgres| {
            postgres.connections.saturating_mul(10) > max(postgres).saturating_mul(9)
        })
        .map(|postgres| {
            finding(
                Fault,
                SUBJECT,
                format!(
                    "{} of {} connections are in use",
                    postgres.connections,
                    max(postgres)
                ),
                "let applications go through PgBouncer",
            )
        })
        .collect()
}

pub(super) fn hba(facts: &Facts) -> Vec<Finding> {
    let lines = facts_of(facts).flat_map(|postgres| &postgres.open_hba);
    lines
        .map(|line| {
            finding(
                Fault,
                SUBJECT,
                format!("pg_hba.conf lets other hosts in without a password: {line}"),
                "scram-sha-256 in that line, then SELECT pg_reload_conf()",
            )
        })
        .collect()
}

pub(super) fn durability(facts: &Facts) -> Vec<Finding> {
    let off = |name: &str| {
        facts_of(facts).any(|postgres| {
            postgres
                .settings
                .get(name)
                .is_some_and(|value| value == "off")
        })
    };
    let mut findings = Vec::new();
    for name in ["fsync", "full_page_writes"] {
        if off(name) {
            findings.push(finding(
                Fault,
                name,
                format!("{name} is off: a crash can ruin the database"),
                format!("ALTER SYSTEM RESET {name}; SELECT pg_reload_conf()"),
            ));
        }
    }
    if off("synchronous_commit") {
        findings.push(finding(
            Note,
            "synchronous_commit",
            "it is off: a crash loses the last commits",
            "ALTER SYSTEM RESET synchronous_commit",
        ));
    }
    findings
}

pub(super) fn superusers(facts: &Facts) -> Vec<Finding> {
    let roles = facts_of(facts).flat_map(|postgres| &postgres.superusers);
    roles.map(|role| finding(Fault, role, "an application's role is a superuser: it reads every database, and files of the host's folder", format!("ALTER ROLE {role} NOSUPERUSER"))).collect()
}

pub(super) fn transaction(facts: &Facts) -> Vec<Finding> {
    facts_of(facts)
        .filter(|postgres| postgres.oldest_transaction_seconds > TRANSACTION_SECONDS_MAX)
        .map(|postgres| {
            let evidence = format!(
                "a transaction is open for {} min: nothing newer can be vacuumed",
                postgres.oldest_transaction_seconds / 60
            );
            finding(
                Warning,
                SUBJECT,
                evidence,
                "select pid, application_name, query from pg_stat_activity order by xact_start",
            )
        })
        .collect()
}

pub(super) fn invalid_indexes(facts: &Facts) -> Vec<Finding> {
    let indexes = facts_of(facts).flat_map(|postgres| &postgres.invalid_indexes);
    indexes
        .map(|index| {
            finding(
                Warning,
                index,
                "the index is not valid: it costs writes and answers nothing",
                format!("REINDEX INDEX CONCURRENTLY {index}"),
            )
        })
        .collect()
}

pub(super) fn archive(facts: &Facts) -> Vec<Finding> {
    facts_of(facts)
        .filter(|postgres| postgres.archive_failures > 0)
        .map(|postgres| {
            finding(
                Fault,
                SUBJECT,
                format!(
                    "archiving WAL fails since {} attempts: WAL piles up",
                    postgres.archive_failures
                ),
                "select * from pg_stat_archiver",
            )
        })
        .collect()
}
