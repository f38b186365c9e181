//! A host set up by hand, as the manual says.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "each test binary uses its part"
)]

use std::process::Command;

use crate::host::{Host, PGBOUNCER_IMAGE, POSTGRES_IMAGE, REDIS_IMAGE, docker};

pub const ADMIN_PASSWORD: &str = "AdminSecret0123456789abcdef";
pub const REDIS_PASSWORD: &str = "RedisSecret0123456789abcdef";
pub const TRADING_PASSWORD: &str = "TradingSecret0123456789abcd";

/// The manual's stack: one compose file by hand, secrets in the environment. Only some of its
/// services, or all.
pub fn by_hand(services: &[&str]) -> Host {
    by_hand_with(services, [ADMIN_PASSWORD, REDIS_PASSWORD, TRADING_PASSWORD])
}

/// The same with other secrets: of the database, of Redis, of the trading application.
pub fn by_hand_with(services: &[&str], secrets: [&str; 3]) -> Host {
    let [admin_password, redis_password, trading_password] = secrets;
    let host = Host::new();
    let folder = host.path("apps/postgres-stack");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(host.path("config")).unwrap();
    let env = format!(
        "# the platform\nPLATFORM_PROJECT={}\nDB_ADMIN_PASSWORD={admin_password}\nREDIS_PW={redis_password}\nTRADING_APP_DB_PASSWORD={trading_password}\n",
        host.prefix
    );
    std::fs::write(host.path("config/platform.env"), env).unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(host.path("config/platform.env"), permissions).unwrap();
    let (root, network) = (host.root().display().to_string(), host.network());
    let (postgres, redis, pgbouncer) = (
        host.container("postgres"),
        host.container("redis"),
        host.container("pgbouncer"),
    );
    let compose = format!(
        "name: {0}hand
services:
  postgres:
    image: {POSTGRES_IMAGE}
    container_name: {postgres}
    restart: always
    environment: {{POSTGRES_USER: platform_admin, POSTGRES_PASSWORD: \"${{DB_ADMIN_PASSWORD}}\"}}
    volumes: ['{root}/data/pg:/var/lib/postgresql/data']
    healthcheck: {{test: [CMD, pg_isready, -h, 127.0.0.1, -U, platform_admin], interval: 1s, retries: 60}}
  redis:
    image: {REDIS_IMAGE}
    container_name: {redis}
    restart: always
    command: [redis-server, --requirepass, \"${{REDIS_PW}}\"]
    volumes: ['{root}/data/redis:/data']
  pgbouncer:
    image: {PGBOUNCER_IMAGE}
    container_name: {pgbouncer}
    restart: always
    environment: {{DATABASES_HOST: {postgres}, DATABASES_USER: platform_admin, DATABASES_PASSWORD: \"${{DB_ADMIN_PASSWORD}}\", AUTH_TYPE: scram-sha-256}}
    ports: ['127.0.0.1::6432']
    depends_on: {{postgres: {{condition: service_healthy}}}}
networks: {{default: {{name: {network}, external: true}}}}
",
        host.prefix
    );
    std::fs::write(folder.join("docker-compose.yml"), compose).unwrap();
    docker(&["network", "create", &network]).ok();
    compose_up(&host, services);
    if services.is_empty() || services.contains(&"redis") {
        wait_for_redis_with(&host, redis_password);
    }
    host
}

/// The manual's own command, in a folder.
pub fn compose(host: &Host, folder: &str, services: &[&str]) -> std::process::Output {
    Command::new("docker")
        .args(["compose", "--env-file"])
        .arg(host.path("config/platform.env"))
        .args(["up", "-d"])
        .args(services)
        .current_dir(host.path(folder))
        .output()
        .unwrap()
}

pub fn compose_up(host: &Host, services: &[&str]) {
    let output = compose(host, "apps/postgres-stack", services);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

pub fn redis(host: &Host, arguments: &[&str]) -> String {
    let auth = format!("REDISCLI_AUTH={REDIS_PASSWORD}");
    let container = host.container("redis");
    let mut all = vec!["exec", "--env", &auth, &container, "redis-cli", "-e"];
    all.extend(arguments);
    docker(&all).ok().out.trim().to_owned()
}

/// A container that was just started may not answer yet.
pub fn wait_for_redis(host: &Host) {
    wait_for_redis_with(host, REDIS_PASSWORD);
}

fn wait_for_redis_with(host: &Host, password: &str) {
    let limit = std::time::Duration::from_secs(60);
    let auth = format!("REDISCLI_AUTH={password}");
    let container = host.container("redis");
    let ping = [
        "exec",
        "--env",
        &auth,
        &container,
        "redis-cli",
        "-e",
        "ping",
    ];
    fixtures::wait::until("Redis to answer", limit, || {
        Ok((docker(&ping).code == 0).then_some(()))
    })
    .unwrap();
}
