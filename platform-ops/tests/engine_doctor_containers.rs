//! `doctor` on containers as careless hands make them, in place of the stack's; and waivers.

#![allow(clippy::unwrap_used)]

mod host;
mod planted;

use host::{Host, assert_found, docker, findings, is_found, wait_for_postgres};

#[test]
fn what_is_wrong_with_containers_is_found() {
    let host = Host::running();
    host.set_env("PLATFORM_REDIS_MEMORY=800m");
    assert_found(&findings(&host), planted::OUTDATED);
    docker(&["kill", &host.container("pgbouncer")]).ok();
    careless_redis(&host);
    careless_postgres(&host);
    assert_found(&findings(&host), planted::CONTAINERS);
    let redis = host.container("redis");
    docker(&["network", "disconnect", "--force", &host.network(), &redis]).ok();
    careless_pgbouncer(&host);
    assert_found(&findings(&host), planted::MORE_CONTAINERS);
    docker(&["rm", "--force", "--volumes", &redis]).ok();
    assert_found(&findings(&host), planted::GONE);
    waivers(&host);
}

/// A container that Compose's labels call the stack's, in place of the real one.
fn replace(host: &Host, service: &str, options: &[&str], image: &[&str]) {
    let name = host.container(service);
    docker(&["rm", "--force", "--volumes", &name]).ok();
    let folder = host.path("apps/platform").display().to_string();
    let labels = [
        ("project", host.prefix.as_str()),
        ("service", service),
        ("project.working_dir", &folder),
    ];
    let labels = labels.map(|(key, value)| format!("--label=com.docker.compose.{key}={value}"));
    let network = host.network();
    let mut all = vec!["run", "--detach", "--network", &network, "--name", &name];
    all.extend(labels.iter().map(String::as_str));
    all.extend(options);
    all.extend(image);
    docker(&all).ok();
}

fn careless_redis(host: &Host) {
    std::fs::write(host.path("config/careless.conf"), "").unwrap();
    let mount = format!(
        "--volume={}:/etc/careless.conf",
        host.path("config/careless.conf").display()
    );
    let secret = format!("--env=LEAKED={}", host.env("REDIS_PASSWORD"));
    let options = [
        "--publish=6379",
        &mount,
        "--volume=/data2",
        &secret,
        "--volume=/var/run/docker.sock:/var/run/docker.sock",
        "--log-driver=local",
        "--health-cmd=redis-cli ping",
        "--health-interval=1s",
    ];
    replace(
        host,
        "redis",
        &options,
        &[host::REDIS_IMAGE, "redis-server"],
    );
}

fn careless_postgres(host: &Host) {
    let options = [
        "--shm-size=32m",
        "--env=POSTGRES_PASSWORD=x",
        "--env=POSTGRES_USER=platform_admin",
        "--health-cmd=pg_isready",
        "--health-interval=1s",
        "--log-opt=max-size=1m",
    ];
    let settings = [
        host::POSTGRES_IMAGE,
        "postgres",
        "-c",
        "maintenance_work_mem=64MB",
        "-c",
        "shared_buffers=16MB",
    ];
    replace(host, "postgres", &options, &settings);
    wait_for_postgres(&host.container("postgres"));
}

fn careless_pgbouncer(host: &Host) {
    let options = ["--stop-signal=SIGTERM", "--env=AUTH_TYPE=plain"];
    replace(
        host,
        "pgbouncer",
        &options,
        &[host::PGBOUNCER_IMAGE, "sh", "-c", "exit 3"],
    );
}

/// Redis is missing: for a time that may be accepted.
fn waivers(host: &Host) {
    let write = |expires: &str| {
        let text = format!(
            "[[waiver]]\ncheck = \"container.missing\"\nsubject = \"redis\"\nreason = \"moved away\"\nexpires = \"{expires}\"\n"
        );
        std::fs::write(host.path("config/waivers.toml"), text).unwrap();
    };
    write("2999-01-01");
    assert!(!is_found(&findings(host), "container.missing", "redis"));
    write("2020-01-01");
    let found = findings(host);
    let expired = found
        .iter()
        .find(|finding| finding["check"] == "container.missing")
        .unwrap();
    assert_eq!(expired["severity"], "fault");
    assert!(
        expired["evidence"].as_str().unwrap().contains("expired"),
        "{expired}"
    );
    // It is red, and in nobody's way.
    let up = host.ops(&["up", "redis", "--dry-run"]).ok();
    assert!(up.out.contains("create container of redis"), "{}", up.all());
    // A waiver says why, and until when.
    for left_out in ["reason", "expires"] {
        let text = std::fs::read_to_string(host.path("config/waivers.toml")).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with(left_out));
        let without: String = lines.map(|line| format!("{line}\n")).collect();
        std::fs::write(host.path("config/waivers.toml"), without).unwrap();
        let refused = host.ops(&["doctor"]);
        assert!(
            ![0, 3].contains(&refused.code) && refused.err.contains(left_out),
            "{}",
            refused.all()
        );
        std::fs::write(host.path("config/waivers.toml"), text).unwrap();
    }
}
