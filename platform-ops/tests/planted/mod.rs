//! The faults that the tests of `doctor` plant: check and subject. Those here are planted into real
//! servers, files and containers; what no test can cause is planted into the facts of a real host
//! (`engine_doctor_facts.rs`).

#![allow(dead_code, reason = "each test binary uses its part")]

/// A check, and a part of the subject it names.
pub type Fault = (&'static str, &'static str);

pub const DATABASE: &[Fault] = &[
    ("postgres.durability", "fsync"),
    ("postgres.durability", "full_page_writes"),
    ("postgres.durability", "synchronous_commit"),
    ("postgres.superuser", "careless"),
    ("postgres.collation", "app_db"),
    ("postgres.slot", "abandoned"),
    ("postgres.invalid-index", "broken"),
    ("postgres.extension", "app_db/vector"),
    ("postgres.hba", "postgres"),
];

pub const REDIS_AND_PGBOUNCER: &[Fault] = &[
    ("redis.persistence", "redis"),
    ("redis.maxmemory", "redis"),
    ("redis.policy", "redis"),
    ("pgbouncer.retry", "pgbouncer"),
    ("pgbouncer.version", "pgbouncer"),
    ("pgbouncer.pool-size", "pgbouncer"),
    ("pgbouncer.paused", "postgres"),
    ("pgbouncer.login", "pgbouncer"),
];

pub const OPEN_REDIS: &[Fault] = &[("redis.maxmemory", "redis"), ("redis.open", "redis")];

pub const FILES: &[Fault] = &[
    ("env.access", "platform.env"),
    ("env.duplicate-key", "REDIS_PASSWORD"),
    ("env.duplicate-key", "TRADING_APP_DB_PASSWORD"),
    ("env.dollar", "DOLLAR_SECRET"),
    ("secret.weak", "TRADING_APP_DB_PASSWORD"),
    ("secret.weak", "TEMPLATE_DB_PASSWORD"),
    ("secret.weak", "NAMED_DB_PASSWORD"),
    ("secret.weak", "EMPTY_TOKEN"),
    ("secret.weak", "ODD_SECRET"),
    ("secret.refused", "POSTGRES_PASSWORD"),
    ("file.access", "config/pgbouncer/pgbouncer.ini"),
    ("file.access", "srv/config"),
    ("file.drift", "redis.conf"),
    ("file.drift", "userlist.txt"),
    ("pgbouncer.md5", "trading_app_user"),
    ("waiver.unknown", "secret.week"),
    ("backup.bucket", "no-such-bucket"),
];

pub const MISSING_KEYS: &[Fault] = &[
    ("env.missing-key", "REDIS_PASSWORD"),
    ("env.missing-key", "POSTGRES_PASSWORD"),
];

pub const BROKEN_ENV: &[Fault] = &[("env.unreadable", "platform.env")];

pub const OUTDATED: &[Fault] = &[("container.outdated", "redis")];

pub const CONTAINERS: &[Fault] = &[
    ("container.down", "pgbouncer"),
    ("container.published", "redis"),
    ("container.file-mount", "redis"),
    ("container.volume", "redis"),
    ("container.docker-socket", "redis"),
    ("container.memory", "redis"),
    ("container.restart-policy", "redis"),
    ("container.data", "redis"),
    ("container.data", "postgres"),
    ("container.grace", "postgres"),
    ("secret.exposed", "REDIS_PASSWORD"),
    ("log.driver", "redis"),
    ("health.redis", "redis"),
    ("health.postgres", "postgres"),
    ("postgres.shm", "postgres"),
    ("image.digest", "postgres"),
    ("redis.open", "redis"),
];

pub const MORE_CONTAINERS: &[Fault] = &[
    ("container.network", "redis"),
    ("pgbouncer.entrypoint", "pgbouncer"),
    ("pgbouncer.stop-signal", "pgbouncer"),
    ("health.missing", "pgbouncer"),
];

pub const GONE: &[Fault] = &[("container.missing", "redis")];

pub const AGENT: &[Fault] = &[("agent.credentials", "key.pem"), ("agent.oci", "agent")];

/// All that are planted for real.
pub fn real() -> Vec<Fault> {
    let all = [
        DATABASE,
        REDIS_AND_PGBOUNCER,
        OPEN_REDIS,
        FILES,
        MISSING_KEYS,
        BROKEN_ENV,
        OUTDATED,
        CONTAINERS,
        MORE_CONTAINERS,
        GONE,
        AGENT,
    ];
    all.concat()
}
