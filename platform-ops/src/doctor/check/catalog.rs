//! All checks, in the order in which they are told.

use super::{Check, check};
use super::{
    backup, cloud, configuration, container, health, host, log, mount, pooler, postgres, redis,
    shipping,
};

/// Every check there is.
pub const CHECKS: &[Check] = &[
    check("look.gap", "what could not be looked at", host::gaps),
    check(
        "waiver.unknown",
        "waivers name checks that exist",
        configuration::waivers,
    ),
    check("engine.podman", "the engine is Docker's", host::podman),
    check(
        "engine.version",
        "the engine is not too old",
        host::engine_version,
    ),
    check(
        "engine.log-driver",
        "what new containers log to",
        host::daemon_log,
    ),
    check(
        "compose.version",
        "Compose takes several env files",
        host::compose_version,
    ),
    check(
        "host.modules",
        "kernel modules of Docker's firewall rules (EL10)",
        host::modules,
    ),
    check("host.clock", "the clock is synchronised", host::clock),
    check("host.disk", "room on the disks", host::disk),
    check("host.inodes", "inodes on the disks", host::inodes),
    check(
        "host.file",
        "files outside of the root are as their masters",
        host::files,
    ),
    check(
        "host.cron-backup",
        "the manual's backup script runs from cron",
        host::cron,
    ),
    check(
        "host.cron-prune",
        "cron removes nothing that only stands still",
        host::prunes,
    ),
    check(
        "host.selinux",
        "SELinux lets the platform work",
        host::selinux,
    ),
    check(
        "network.missing",
        "the shared network is there and a bridge",
        host::network,
    ),
    check(
        "env.unreadable",
        "platform.env is as Compose wants it",
        configuration::unreadable,
    ),
    check(
        "env.access",
        "platform.env is root's alone",
        configuration::access,
    ),
    check(
        "env.missing-key",
        "platform.env sets what is required",
        configuration::missing,
    ),
    check(
        "env.duplicate-key",
        "no key is set twice",
        configuration::duplicates,
    ),
    check(
        "env.dollar",
        "no value is changed by Compose",
        configuration::dollar,
    ),
    check("secret.weak", "secrets are strong", configuration::weak),
    check(
        "secret.refused",
        "the servers take the passwords of platform.env",
        configuration::refused,
    ),
    check(
        "secret.exposed",
        "no secret stands in `docker inspect`",
        configuration::exposed,
    ),
    check(
        "secret.rotation",
        "no rotation was cut short",
        configuration::rotation,
    ),
    check(
        "file.drift",
        "derived files are as platform.env says",
        configuration::drift,
    ),
    check(
        "file.access",
        "files and folders have their owner and mode",
        configuration::file_access,
    ),
    check(
        "container.missing",
        "every service has one container",
        container::missing,
    ),
    check("container.down", "every service runs", container::down),
    check(
        "container.unhealthy",
        "every service is healthy",
        container::unhealthy,
    ),
    check(
        "container.restarts",
        "no service restarts again and again",
        container::restarts,
    ),
    check(
        "container.oom",
        "the kernel ended none for want of memory",
        container::oom,
    ),
    check(
        "container.outdated",
        "containers are as compose.yaml says",
        container::outdated,
    ),
    check(
        "container.architecture",
        "images are of this machine's architecture",
        container::architecture,
    ),
    check(
        "container.restart-policy",
        "services come back after a reboot",
        container::restart_policy,
    ),
    check("container.memory", "memory is limited", container::memory),
    check(
        "container.privileged",
        "none has every right on the host",
        container::privileged,
    ),
    check(
        "container.docker-socket",
        "none holds the engine's socket",
        container::docker_socket,
    ),
    check(
        "container.network",
        "services are on the shared network",
        container::network,
    ),
    check(
        "container.data",
        "data lie in folders of the host",
        mount::data,
    ),
    check(
        "container.volume",
        "no data in anonymous volumes",
        mount::volumes,
    ),
    check(
        "container.file-mount",
        "no single file is mounted as configuration",
        mount::file_mounts,
    ),
    check(
        "container.published",
        "no port is open to other hosts",
        container::published,
    ),
    check(
        "container.grace",
        "the database has time to stop",
        container::grace,
    ),
    check("image.digest", "images are pinned", container::digest),
    check("log.driver", "logs are json files", log::driver),
    check("log.rotation", "logs are rotated", log::rotation),
    check(
        "log.outage",
        "logs survive a day without their destination",
        log::outage,
    ),
    check(
        "health.missing",
        "services have a health check",
        health::missing,
    ),
    check(
        "health.postgres",
        "PostgreSQL's health check asks over TCP",
        health::postgres,
    ),
    check(
        "health.redis",
        "Redis' health check notices a refused password",
        health::redis,
    ),
    check(
        "health.pgbouncer",
        "PgBouncer's health check can run",
        health::pgbouncer,
    ),
    check(
        "pgbouncer.entrypoint",
        "Percona's entrypoint is bypassed",
        pooler::entrypoint,
    ),
    check(
        "pgbouncer.stop-signal",
        "PgBouncer stops at once",
        pooler::stop_signal,
    ),
    check(
        "pgbouncer.version",
        "PgBouncer keeps prepared statements",
        pooler::version,
    ),
    check(
        "pgbouncer.login",
        "an application's login reaches the database",
        pooler::login,
    ),
    check(
        "pgbouncer.retry",
        "clients are let in soon after the database is back",
        pooler::retry,
    ),
    check(
        "pgbouncer.md5",
        "no md5 secret against a SCRAM server",
        pooler::md5,
    ),
    check("pgbouncer.paused", "nothing is left paused", pooler::paused),
    check("pgbouncer.waiting", "no client waits long", pooler::waiting),
    check(
        "pgbouncer.pool-size",
        "pools fit into max_connections",
        pooler::pool_size,
    ),
    check(
        "postgres.shm",
        "/dev/shm holds maintenance_work_mem",
        postgres::shm,
    ),
    check(
        "postgres.xid",
        "transaction ids are far from their end",
        postgres::xid,
    ),
    check("postgres.wal", "WAL does not pile up", postgres::wal),
    check(
        "postgres.slot",
        "no abandoned slot holds WAL",
        postgres::slots,
    ),
    check(
        "postgres.collation",
        "indexes were built with this libc",
        postgres::collation,
    ),
    check(
        "postgres.extension",
        "extensions are up to date",
        postgres::extensions,
    ),
    check(
        "postgres.pgvector",
        "pgvector has the fixes that matter",
        postgres::pgvector,
    ),
    check(
        "postgres.connections",
        "connections are left",
        postgres::connections,
    ),
    check("postgres.hba", "other hosts need a password", postgres::hba),
    check(
        "postgres.durability",
        "what is committed is on disk",
        postgres::durability,
    ),
    check(
        "postgres.superuser",
        "applications are no superusers",
        postgres::superusers,
    ),
    check(
        "postgres.transaction",
        "no transaction stays open",
        postgres::transaction,
    ),
    check(
        "postgres.invalid-index",
        "all indexes are valid",
        postgres::invalid_indexes,
    ),
    check("postgres.archive", "WAL archiving works", postgres::archive),
    check("redis.open", "Redis wants a password", redis::open),
    check(
        "redis.maxmemory",
        "Redis stays within its container",
        redis::maxmemory,
    ),
    check(
        "redis.policy",
        "a full Redis refuses instead of dropping keys",
        redis::policy,
    ),
    check(
        "redis.persistence",
        "Redis writes what it is told",
        redis::persistence,
    ),
    check("redis.full", "Redis has memory left", redis::full),
    check("agent.off", "logs leave the host", shipping::off),
    check("agent.lag", "the agent keeps up", shipping::lag),
    check("agent.loss", "the agent lost nothing", shipping::loss),
    check(
        "agent.credentials",
        "the agent's credentials are there and private",
        shipping::credentials,
    ),
    check(
        "backup.none",
        "there is a place for backups",
        backup::configured,
    ),
    check(
        "backup.schedule",
        "one thing starts backups",
        backup::scheduled,
    ),
    check("backup.failed", "the last backup succeeded", backup::failed),
    check("backup.age", "the last set is young", backup::age),
    check(
        "backup.drill",
        "a drill has restored a set lately",
        backup::drill,
    ),
    check(
        "backup.escrow",
        "the key that is kept elsewhere opens a set",
        backup::escrow,
    ),
    check("backup.size", "sets do not pile up", backup::size),
    check(
        "agent.oci",
        "the agent's credentials and way to OCI",
        cloud::agent,
    ),
    check(
        "backup.bucket",
        "the bucket of backups answers",
        cloud::bucket,
    ),
];
