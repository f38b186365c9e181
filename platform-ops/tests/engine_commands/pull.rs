//! `pull` and a registry.

use std::process::Command;

use crate::host::{self, Host, docker};

#[test]
fn t55_pull_pins_what_the_registry_has_and_only_pull_moves_on() {
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
