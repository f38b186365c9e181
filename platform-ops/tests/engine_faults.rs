//! Faults of hosts, lifecycles, health checks and images, by their numbers in faults.toml, as far as
//! no other test holds them.

#![allow(clippy::unwrap_used)]

mod host;
mod relay;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use fixtures::wait;
use host::{Host, POSTGRES_IMAGE, docker};
use relay::Relay;

const SOON: Duration = Duration::from_secs(120);

#[test]
fn t51_t52_t53_t60_pgbouncer_stops_prepares_reloads_and_no_data_lie_in_volumes() {
    let host = Host::running();
    all_state_is_in_folders(&host);
    prepared_statements_work(&host);
    a_replaced_file_is_seen_inside(&host);
    stops_with_clients_connected(&host);
}

/// T60: there is no volume that a prune could take.
fn all_state_is_in_folders(host: &Host) {
    for service in ["postgres", "redis", "pgbouncer"] {
        let format = "{{range .Mounts}}{{.Type}} {{.Source}}\n{{end}}";
        let mounts = docker(&["inspect", "--format", format, &host.container(service)]).ok();
        for mount in mounts.out.lines().filter(|line| !line.is_empty()) {
            let (kind, source) = mount.split_once(' ').unwrap();
            assert_eq!(kind, "bind", "{service}: {mount}");
            assert!(source.starts_with(host.root().to_str().unwrap()), "{mount}");
        }
    }
}

/// T52: in the pool mode that breaks them where PgBouncer does not keep them.
fn prepared_statements_work(host: &Host) {
    let script = format!(
        "echo 'select :client_id + 1;' > /tmp/s && exec pgbench -n -M prepared -f /tmp/s -c 8 -j 1 -t 50 -h {} -p 6432 -U platform_admin postgres",
        host.container("pgbouncer")
    );
    let password = format!("PGPASSWORD={}", host.env("POSTGRES_PASSWORD"));
    let run = host.client(&password, &["bash", "-c", &script]).ok();
    assert!(
        run.out
            .contains("number of transactions actually processed: 400/400"),
        "{}",
        run.all()
    );
}

/// T53: its folder is mounted, so a file that was replaced by a rename is the new one inside.
fn a_replaced_file_is_seen_inside(host: &Host) {
    host.set_env("PLATFORM_PGBOUNCER_POOL_SIZE=7");
    host.ops(&["up"]).ok();
    let file = "/etc/pgbouncer/pgbouncer.ini";
    let inside = docker(&["exec", &host.container("pgbouncer"), "cat", file]).ok();
    assert!(
        inside.out.contains("default_pool_size = 7"),
        "{}",
        inside.out
    );
}

/// T51: a client that stays connected does not make a stop end in a kill.
fn stops_with_clients_connected(host: &Host) {
    let pgbouncer = host.container("pgbouncer");
    let target = format!("host={pgbouncer} port=6432 user=platform_admin dbname=postgres");
    let password = format!("PGPASSWORD={}", host.env("POSTGRES_PASSWORD"));
    let name = format!("{}-client", host.prefix);
    let mut client = Command::new("docker")
        .args(["run", "--rm", "--interactive", "--name", &name])
        .args(["--network", &host.network(), "--env", &password])
        .args(["--entrypoint", "psql", POSTGRES_IMAGE, "-XAtq", &target])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Its first answer has come, and it waits for what it is told next.
    let mut input = client.stdin.take().unwrap();
    input.write_all(b"select 41 + 1;\n").unwrap();
    let mut answer = [0; 2];
    let mut output = client.stdout.take().unwrap();
    output.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"42");
    let since = docker(&["info", "--format", "{{.SystemTime}}"]).ok().out;
    host.ops(&["down", "pgbouncer", "--yes"]).ok();
    let until = docker(&["info", "--format", "{{.SystemTime}}"]).ok().out;
    let container = format!("container={pgbouncer}");
    let events = docker(&[
        "events",
        "--since",
        since.trim(),
        "--until",
        until.trim(),
        "--filter",
        &container,
        "--filter",
        "event=die",
        "--format",
        "{{.Actor.Attributes.exitCode}}",
    ])
    .ok();
    let code = events.out.trim();
    assert!(!code.is_empty() && code != "137", "it was killed: {code:?}");
    drop(input);
    client.wait().unwrap();
}

/// T54: the stack's own health check is red while initdb's server runs, which only its socket
/// reaches and where pg_isready is green.
#[test]
fn t54_the_health_check_is_not_green_while_initdb_runs() {
    let host = Host::initialised();
    let config = Command::new("docker")
        .args(["compose", "--env-file"])
        .arg(host.path("config/platform.env"))
        .args(["config", "--format", "json"])
        .current_dir(host.path("apps/platform"))
        .output()
        .unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config.stdout).unwrap();
    let test = config["services"]["postgres"]["healthcheck"]["test"][1].as_str();
    // In Compose's own files a dollar is written twice.
    let test = test.unwrap().replace("$$", "$");
    // Initdb's server goes on until it is told.
    let scripts = host.path("initdb.d");
    std::fs::create_dir_all(&scripts).unwrap();
    let script = "until test -e /docker-entrypoint-initdb.d/go; do sleep 0.05; done\n";
    std::fs::write(scripts.join("wait.sh"), script).unwrap();
    let name = host.container("initdb");
    let mount = format!("--volume={}:/docker-entrypoint-initdb.d", scripts.display());
    let user = "--env=POSTGRES_USER=platform_admin";
    let run = ["run", "--detach", "--name", &name, &mount, user];
    docker(&[&run[..], &["--env=POSTGRES_PASSWORD=x", POSTGRES_IMAGE]].concat()).ok();
    let succeeds = |command: &[&str]| {
        let exec = [&["exec", name.as_str()], command].concat();
        docker(&exec).code == 0
    };
    wait::until("initdb's server", SOON, || {
        Ok(succeeds(&["pg_isready", "-U", "platform_admin"]).then_some(()))
    })
    .unwrap();
    assert!(
        !succeeds(&["sh", "-c", &test]),
        "green, and nobody can connect"
    );
    std::fs::write(scripts.join("go"), "").unwrap();
    wait::until("the server", SOON, || {
        Ok(succeeds(&["sh", "-c", &test]).then_some(()))
    })
    .unwrap();
}

/// T58: between us and the real engine stands one that notes what it is asked. An engine that
/// refuses old versions takes its own newest; a request that names none (bollard's) gets that.
#[test]
fn t58_every_request_is_of_the_version_that_both_sides_speak() {
    let host = Host::initialised();
    let relay = Relay::start(host.path("engine.sock"));
    let run = host
        .command(&["doctor", "--json"])
        .env("DOCKER_HOST", relay.address())
        .output()
        .unwrap();
    let run: host::Run = run.into();
    assert_eq!(run.json()["kind"], "doctor", "{}", run.all());
    let seen = relay.seen();
    let ours = seen.lines().filter(|line| line.contains(" HTTP/1.1"));
    let versions: BTreeSet<&str> = ours
        .filter_map(|line| line.split_once(" /v")?.1.split('/').next())
        .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    let spoken = docker(&["version", "--format", "{{.Server.APIVersion}}"]).ok();
    assert_eq!(versions, BTreeSet::from([spoken.out.trim()]), "{seen}");
}
