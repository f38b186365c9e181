//! status, logs, app, agent and pull on a running stack.

#![allow(clippy::unwrap_used)]

mod host;

use std::io::{BufRead, BufReader};
use std::process::Command;

use host::{Host, docker};

#[test]
fn a_running_stack_is_seen_logged_and_extended_by_applications() {
    let host = Host::running();
    status(&host);
    logs(&host);
    applications(&host);
    agent(&host);
}

fn status(host: &Host) {
    // The agent is off, which is a note: all is well.
    let first = host.ops(&["status", "--json"]).json();
    let services = first["services"].as_array().unwrap();
    let names: Vec<&str> = services
        .iter()
        .map(|service| service["service"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["postgres", "redis", "pgbouncer"]);
    assert!(
        services
            .iter()
            .all(|service| service["health"] == "healthy" && service["version"].is_string()),
        "{first}"
    );
    docker(&["restart", &host.container("redis")]).ok();
    docker(&["stop", &host.container("pgbouncer")]).ok();
    let run = host.ops(&["status"]);
    assert_eq!(run.code, 3, "{}", run.all());
    assert!(
        run.out.contains("redis was restarted")
            && run.out.contains("pgbouncer was healthy, is exited"),
        "{}",
        run.all()
    );
    host.ops(&["up"]).ok();
    // Someone of the docker group has no platform.env to read.
    let gid = std::fs::metadata("/var/run/docker.sock")
        .map(|socket| std::os::unix::fs::MetadataExt::gid(&socket))
        .unwrap();
    // The folder of the test is private to root.
    for folder in [host.root().parent().unwrap(), &host.root()] {
        std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    let binary = host.root().parent().unwrap().join("platform-ops");
    std::fs::copy(env!("CARGO_BIN_EXE_platform-ops"), &binary).unwrap();
    let as_member = |arguments: &[&str]| -> host::Run {
        let output = Command::new("setpriv")
            .args([
                "--reuid=65534",
                &format!("--regid={gid}"),
                "--clear-groups",
                "--",
            ])
            .arg(&binary)
            .arg("--root")
            .arg(host.root())
            .args(arguments)
            .env("HOME", "/")
            .output()
            .unwrap();
        output.into()
    };
    let seen = as_member(&["status", "--json"]).json();
    let services = seen["services"].as_array().unwrap();
    assert!(
        services.iter().all(|service| service["state"] == "running"),
        "{seen}"
    );
    assert!(
        services[0]["version"].is_string() && services[1]["version"].is_string(),
        "{seen}"
    );
    let refused = as_member(&["down", "--yes"]);
    assert!(
        refused.code == 4 && refused.err.contains("needs root"),
        "{}",
        refused.all()
    );
}

fn logs(host: &Host) {
    let run = host.ops(&["logs", "--json", "postgres", "redis"]).ok();
    let seen: Vec<serde_json::Value> = run
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let has = |service: &str, text: &str| {
        seen.iter()
            .any(|line| line["service"] == service && line["text"].as_str().unwrap().contains(text))
    };
    assert!(
        has("postgres", "ready to accept connections")
            && has("redis", "Ready to accept connections"),
        "{}",
        run.out
    );
    assert!(!seen.iter().any(|line| line["service"] == "pgbouncer"));
    let run = host.ops(&["logs", "-n", "1", "postgres"]).ok();
    assert_eq!(run.out.lines().count(), 1);
    assert!(
        host.ops(&["logs", "--since", "1ms", "postgres"])
            .ok()
            .out
            .is_empty()
    );
    let path = host.ops(&["logs", "--path", "redis"]).ok().out;
    assert!(std::path::Path::new(path.trim()).is_file(), "{path}");
    // Two at once, followed: a line that comes later arrives, and an interrupt ends it.
    let mut child = host.spawn(&["logs", "--follow", "--tail", "0", "postgres", "pgbouncer"]);
    let lines = BufReader::new(child.stdout.take().unwrap());
    let follower = std::thread::spawn(move || {
        lines
            .lines()
            .map_while(Result::ok)
            .find(|line| line.contains("marker-of-this-test"))
    });
    while !follower.is_finished() {
        host.psql("postgres", "select 1/0 as \"marker-of-this-test\"");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let line = follower.join().unwrap().unwrap();
    assert!(line.starts_with("postgres  | "), "{line}");
    docker_kill(child.id(), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

fn docker_kill(pid: u32, signal: &str) {
    assert!(
        Command::new("kill")
            .args([format!("-{signal}"), pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

fn applications(host: &Host) {
    let folder = host.path("apps/demo");
    std::fs::create_dir_all(&folder).unwrap();
    let compose = format!(
        "services:
  job:
    image: {}
    entrypoint: [bash, -c]
    environment: {{OWN: \"${{OWN}}\", BOTH: \"${{BOTH}}\", SECRET: \"${{TRADING_APP_DB_PASSWORD}}\", SHELL_ONLY: \"${{PGPASSWORD:-unset}}\"}}
    command: [\"sleep 600\"]
    stop_signal: SIGKILL
networks: {{default: {{name: {}, external: true}}}}
",
        host::POSTGRES_IMAGE,
        host.network()
    );
    std::fs::write(folder.join("compose.yaml"), compose).unwrap();
    std::fs::write(folder.join(".env"), "OWN=own\nBOTH=first\n").unwrap();
    host.set_env("BOTH=second");
    let script = "echo \"$OWN $BOTH ${#SECRET} $SHELL_ONLY\"; exit 7";
    let output = host
        .command(&["app", "run", "demo", "job", script])
        .env("PGPASSWORD", "from-the-shell")
        .output()
        .unwrap();
    let run: host::Run = output.into();
    assert_eq!(run.code, 7, "{}", run.all());
    assert_eq!(run.out.trim(), "own second 32 unset");
    host.ops(&["app", "up", "demo"]).ok();
    let listed = host.ops(&["app", "list", "--json"]).ok().json();
    assert_eq!(
        (&listed["apps"][0]["name"], &listed["apps"][0]["running"]),
        (&"demo".into(), &1.into()),
        "{listed}"
    );
    host.ops(&["app", "down", "demo"]).ok();
    let refused = host.ops(&["app", "up", "nothing"]);
    assert!(
        refused.code == 2 && refused.err.contains("demo"),
        "{}",
        refused.all()
    );
}

/// The real agent's image, shipping nothing to nowhere.
fn agent(host: &Host) {
    let refused = host.ops(&["agent", "status"]);
    assert!(
        refused.code == 4 && refused.err.contains("PLATFORM_AGENT=on"),
        "{}",
        refused.all()
    );
    let key = include_str!("../../fixtures/signing/vector-pkcs8.pem");
    std::fs::write(host.path("config/agent/oci/key.pem"), key).unwrap();
    let ocid = |kind: &str| {
        format!("ocid1.{kind}.oc1..aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
    };
    let config = format!(
        "[DEFAULT]\nuser={}\nfingerprint=28:8a:d9:3d:fd:12:99:0c:61:86:cf:06:66:76:f4:a0\ntenancy={}\nregion=eu-frankfurt-1\nkey_file=/etc/platform-agent/oci/key.pem\n",
        ocid("user"),
        ocid("tenancy")
    );
    std::fs::write(host.path("config/agent/oci/config"), config).unwrap();
    let toml = "[source]\ninclude = [\"no-such-container-*\"]\n[oci]\nconfig_file = \"/etc/platform-agent/oci/config\"\n[logging]\nlog_id = \"ocid1.log.oc1.eu-frankfurt-1.amaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\nendpoint = \"http://127.0.0.1:9\"\n";
    std::fs::write(host.path("config/agent/agent.toml"), toml).unwrap();
    host.set_env("PLATFORM_AGENT=on");
    host.set_env(&format!("PLATFORM_AGENT_NETWORK={}-agent", host.prefix));
    host.set_env(&format!("PLATFORM_AGENT_BRIDGE={}", host.prefix));
    host.set_env(&format!(
        "PLATFORM_AGENT_CONTAINER={}",
        host.container("agent")
    ));
    host.ops(&["up"]).ok();
    let status = host.ops(&["agent", "status", "--json"]).ok().json();
    assert_eq!(status["schema"], "platform-agent/status/1");
    let doctor = host.ops(&["doctor", "--json"]).json();
    let credentials = doctor["findings"]
        .as_array()
        .unwrap()
        .iter()
        .any(|finding| finding["check"] == "agent.credentials");
    assert!(credentials, "the key may be read by others: {doctor}");
    assert_eq!(host.ops(&["agent", "pause"]).code, 4, "it asks first");
    host.ops(&["agent", "pause", "--yes"]).ok();
    let state = || {
        docker(&[
            "inspect",
            "--format",
            "{{.State.Status}}",
            &host.container("agent"),
        ])
        .ok()
        .out
    };
    assert_eq!(state().trim(), "exited");
    host.ops(&["agent", "pause", "--resume"]).ok();
    assert_eq!(state().trim(), "running");
}

#[test]
fn pull_pins_what_the_registry_has_and_only_pull_moves_on() {
    let host = Host::initialised();
    let registry = format!("{}-registry", host.prefix);
    docker(&[
        "run",
        "--detach",
        "--name",
        &registry,
        "--publish",
        "127.0.0.1::5000",
        "platform-test/registry:2",
    ])
    .ok();
    let port = docker(&["port", &registry, "5000/tcp"]).ok().out;
    let port = port.trim().rsplit(':').next().unwrap().to_owned();
    let tag = format!("localhost:{port}/redis:7.2");
    let first = push(host::REDIS_IMAGE, &tag);
    let text = host.read("config/platform.env").replace(
        &format!("PLATFORM_REDIS_IMAGE={}", host::REDIS_IMAGE),
        &format!("PLATFORM_REDIS_IMAGE={tag}"),
    );
    std::fs::write(host.path("config/platform.env"), text).unwrap();
    host.ops(&["pull", "redis"]).ok();
    let lock: serde_json::Value =
        serde_json::from_str(&host.read("config/images.lock.json")).unwrap();
    assert_eq!(lock["images"]["redis"]["digest"], first);
    host.ops(&["up", "redis"]).ok();
    let image = || {
        docker(&[
            "inspect",
            "--format",
            "{{.Config.Image}}",
            &host.container("redis"),
        ])
        .ok()
        .out
    };
    assert_eq!(image().trim(), format!("{tag}@{first}"));
    // The tag comes to mean another image.
    let changed = changed_image(&host);
    let second = push(&changed, &tag);
    assert_ne!(first, second);
    assert!(
        host.ops(&["up", "redis"])
            .ok()
            .out
            .contains("nothing to do")
    );
    host.ops(&["pull", "redis"]).ok();
    assert_eq!(
        host.ops(&["up", "redis"]).code,
        4,
        "a recreation asks first"
    );
    host.ops(&["up", "redis", "--yes"]).ok();
    assert_eq!(image().trim(), format!("{tag}@{second}"));
    // What no registry has and is here stays; what is nowhere is an error.
    docker(&["rm", "--force", "--volumes", &registry]).ok();
    let kept = host.ops(&["pull", "redis"]);
    assert!(
        kept.code == 3 && kept.err.contains("used as it is here"),
        "{}",
        kept.all()
    );
    let text = host
        .read("config/platform.env")
        .replace(&tag, &format!("localhost:{port}/nothing:1"));
    std::fs::write(host.path("config/platform.env"), text).unwrap();
    assert_eq!(host.ops(&["pull", "redis"]).code, 13);
    for image in [&tag, &changed] {
        docker(&["rmi", "--force", image]);
    }
}

/// A Redis that is another image.
fn changed_image(host: &Host) -> String {
    let folder = tempfile::tempdir().unwrap();
    let dockerfile = format!(
        "FROM {}\nLABEL changed={}\n",
        host::REDIS_IMAGE,
        host.prefix
    );
    std::fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    let changed = format!("{}-changed", host.prefix);
    let build = Command::new("docker")
        .args(["build", "--tag", &changed, "."])
        .current_dir(&folder)
        .env("DOCKER_BUILDKIT", "0")
        .output()
        .unwrap();
    assert!(
        build.status.success(),
        "{}",
        String::from_utf8_lossy(&build.stderr)
    );
    changed
}

/// Pushes an image under a tag; its digest.
fn push(image: &str, tag: &str) -> String {
    docker(&["tag", image, tag]).ok();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let push = docker(&["push", tag]);
        if let Some((_, rest)) = push.out.split_once("digest: ") {
            return rest.split_whitespace().next().unwrap().to_owned();
        }
        // The registry may not listen yet.
        assert!(std::time::Instant::now() < deadline, "{}", push.all());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}
