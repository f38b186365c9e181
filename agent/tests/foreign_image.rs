//! The image for the other architecture, under emulation: it ships a real container's log to the
//! emulator over TLS. `scripts/agent-image arm64` (or `amd64`) builds it.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use fixtures::agent_process::AgentConfig;
use fixtures::arrival::Arrival;
use fixtures::burst::Burst;
use fixtures::docker_engine::{ContainerSpec, DockerContainer, DockerEngine, LOG_BURST_IMAGE};
use fixtures::emulator::{Credential, Emulator, Options, Query};
use fixtures::wait;

const LOG_ID: &str = "ocid1.log.oc1.eu-frankfurt-1.test";
/// Emulation is slow, and so is a machine that does something else.
const SOON: Duration = Duration::from_secs(180);

/// The architecture that this machine has not.
fn foreign() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "amd64",
        _ => "arm64",
    }
}

struct World {
    dir: tempfile::TempDir,
    engine: DockerEngine,
    emulator: Emulator,
    run: String,
}

impl World {
    fn start() -> Self {
        let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u32;
        let run = format!("foreign-{seed:08x}");
        let engine = DockerEngine::connect().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let credential = Credential::create(&dir.path().join("oci")).unwrap();
        let emulator = Emulator::start(Options {
            log_ids: vec![LOG_ID.to_owned()],
            keyring: credential.keyring(),
            tls_names: vec!["127.0.0.1".to_owned()],
            ..Options::default()
        })
        .unwrap();
        let authority = emulator.authority_pem().unwrap();
        fs::write(dir.path().join("authority.pem"), authority).unwrap();
        AgentConfig {
            containers_dir: engine.containers_dir().to_path_buf(),
            include: vec![format!("{run}-writer")],
            state_dir: dir.path().join("state"),
            oci_config: credential.config_file,
            log_id: LOG_ID.to_owned(),
            endpoint: emulator.url(),
            more: String::new(),
        }
        .write(&dir.path().join("agent.toml"))
        .unwrap();
        Self {
            dir,
            engine,
            emulator,
            run,
        }
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("agent.toml")
    }

    /// As deploy/agent/compose.yaml starts it, but for the network and the paths.
    fn start_container(&self, command: &str, page_bytes: u32) -> DockerContainer {
        let arch = foreign();
        let dir = self.dir.path().display();
        let containers_dir = self.engine.containers_dir().display();
        let config = self.config();
        let image = format!("platform-agent:{}-{arch}", env!("CARGO_PKG_VERSION"));
        let options = [
            format!("--platform=linux/{arch}"),
            "--network=host".to_owned(),
            "--user=0:0".to_owned(),
            "--cap-drop=ALL".to_owned(),
            "--security-opt=no-new-privileges:true".to_owned(),
            "--read-only".to_owned(),
            format!("--volume={containers_dir}:{containers_dir}:ro"),
            format!("--volume={dir}:{dir}"),
            format!(
                "--volume={}:/etc/platform-agent/agent.toml:ro",
                config.display()
            ),
            // qemu shows its program pages of this size.
            format!("--env=QEMU_PAGESIZE={page_bytes}"),
            format!("--env=PLATFORM_AGENT_OCI__CA_BUNDLE={dir}/authority.pem"),
        ];
        let spec = ContainerSpec {
            name: format!("{}-{command}", self.run),
            run: self.run.clone(),
            image: image.clone(),
            options: options.to_vec(),
            arguments: [command, "--config", "/etc/platform-agent/agent.toml"]
                .map(str::to_owned)
                .to_vec(),
        };
        self.engine
            .start(&spec)
            .unwrap_or_else(|error| panic!("{error} (scripts/agent-image {arch} builds {image})"))
    }

    fn start_writer(&self) -> (DockerContainer, Vec<String>) {
        let burst = Burst {
            run: self.run.clone(),
            seed: 1,
            lines: 200,
            bytes_min: 1,
            bytes_max: 30_000,
            bytes_per_second: 0,
            unterminated: false,
        };
        let spec = ContainerSpec {
            name: format!("{}-writer", self.run),
            run: self.run.clone(),
            image: LOG_BURST_IMAGE.to_owned(),
            options: ["--network=none", "--log-driver=json-file"]
                .map(str::to_owned)
                .to_vec(),
            arguments: burst.arguments(),
        };
        let container = self.engine.start(&spec).unwrap();
        let mut lines: Vec<String> = (0..burst.lines)
            .map(|sequence| burst.line(sequence))
            .collect();
        lines.sort_unstable();
        (container, lines)
    }

    fn arrived(&self, container: &str) -> Vec<String> {
        let mut arrival = Arrival::default();
        // The entry that `check` sent has a subject of its own.
        let query = Query {
            subject: Some(container.to_owned()),
            ..Query::default()
        };
        for entry in self.emulator.entries(&query) {
            arrival
                .add(&entry.subject, &entry.id, &entry.time, &entry.data)
                .unwrap();
        }
        let mut lines = arrival.lines(container).unwrap_or_default();
        lines.sort_unstable();
        lines
    }
}

fn ships_logs_over_tls(page_bytes: u32) {
    let world = World::start();
    assert!(world.emulator.url().starts_with("https://"));
    let check = world.start_container("check", page_bytes);
    let exit_code = wait::until("the end of check", SOON, || check.exit_code())
        .unwrap_or_else(|error| panic!("{error}\n{}", check.logs().unwrap()));
    let report = check.logs().unwrap();
    assert_eq!(exit_code, 0, "{report}");
    assert!(report.contains("can be loaded: api_key"), "{report}");
    let agent = world.start_container("run", page_bytes);
    let (writer, lines) = world.start_writer();
    wait::until("the writer's lines", SOON, || {
        Ok((world.arrived(writer.name()).len() >= lines.len()).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", agent.logs().unwrap()));
    assert_eq!(world.arrived(writer.name()), lines);
    agent
        .exec(&[
            "/platform-agent",
            "health",
            "--config",
            "/etc/platform-agent/agent.toml",
        ])
        .unwrap();
    agent.stop(20).unwrap();
    let log = agent.logs().unwrap();
    assert_eq!(agent.exit_code().unwrap(), Some(0), "{log}");
    assert!(log.contains("signing in with api_key"), "{log}");
}

#[test]
fn the_other_architectures_image_ships_logs_over_tls() {
    ships_logs_over_tls(4 << 10);
}

/// As Oracle Linux on Arm may have them.
#[test]
fn so_it_does_with_pages_of_64_kib() {
    ships_logs_over_tls(64 << 10);
}
