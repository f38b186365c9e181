//! The agent as an instance principal, in fast motion: tokens of six seconds, certificates that
//! rotate every four, and everything that can go wrong with them. No line is lost.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fixtures::agent_process::{AgentConfig, AgentProcess};
use fixtures::emulator::{Emulator, Fault, Options, Query};
use fixtures::wait;
use serde_json::{Value, json};
use tempfile::TempDir;

const LOG_ID: &str = "ocid1.log.oc1.eu-frankfurt-1.test";
const SOON: Duration = Duration::from_secs(60);
const LINE_INTERVAL: Duration = Duration::from_millis(50);
/// More than OCI tolerates.
const SKEW_SECONDS: i64 = 600;

/// A container that writes numbered lines until it is told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Writer {
    fn start(containers_dir: &Path) -> Self {
        let id = "5a".repeat(32);
        let folder = containers_dir.join(&id);
        fs::create_dir_all(&folder).unwrap();
        let log = folder.join(format!("{id}-json.log"));
        let description = json!({"ID": id, "Name": "/writer", "LogPath": log, "Config": {}});
        fs::write(folder.join("config.v2.json"), description.to_string()).unwrap();
        let mut log = File::create(log).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut number = 0;
            while !stopped.load(Ordering::Relaxed) {
                let time = jiff::Timestamp::now().to_string();
                let line = json!({"log": format!("{number}\n"), "stream": "stdout", "time": time});
                writeln!(log, "{line}").unwrap();
                number += 1;
                thread::sleep(LINE_INTERVAL);
            }
            number
        });
        Self { stop, thread }
    }

    /// How many lines it wrote.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

struct World {
    dir: TempDir,
    emulator: Emulator,
    agent: AgentProcess,
}

impl World {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let emulator = Emulator::start(Options {
            log_ids: vec![LOG_ID.to_owned()],
            token_lifetime: Duration::from_secs(6),
            certificate_lifetime: Duration::from_secs(8),
            ..Options::default()
        })
        .unwrap();
        let config = dir.path().join("agent.toml");
        AgentConfig {
            containers_dir: dir.path().join("containers"),
            include: vec!["*".to_owned()],
            state_dir: dir.path().join("state"),
            // There is none: nothing names it, and `auto` goes on to the instance.
            oci_config: PathBuf::from("~/.oci/config"),
            log_id: LOG_ID.to_owned(),
            endpoint: emulator.url(),
            more: String::new(),
        }
        .write(&config)
        .unwrap();
        fs::create_dir(dir.path().join("containers")).unwrap();
        let url = emulator.url();
        let environment = [
            ("HOME", dir.path().display().to_string()),
            ("OCI_METADATA_BASE_URL", format!("{url}/opc/v2")),
            ("OCI_CLI_FEDERATION_ENDPOINT", format!("{url}/v1/x509")),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_platform-agent"));
        command
            .arg("run")
            .arg("--config")
            .arg(config)
            .envs(environment);
        let agent = AgentProcess::run(&mut command, &dir.path().join("agent.log")).unwrap();
        Self {
            dir,
            emulator,
            agent,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("agent.log")).unwrap_or_default()
    }

    fn control(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/control/identity{path}", self.emulator.url());
        let mut answer = ureq::post(&url).send_json(body).unwrap();
        answer.body_mut().read_json().unwrap()
    }

    fn tokens(&self) -> u64 {
        self.control("", &json!({}))["tokens_given"]
            .as_u64()
            .unwrap()
    }

    fn wait(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        wait::until(what, SOON, || Ok(is_so().then_some(())))
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }

    /// Another token is asked for, and lines go out under it.
    fn wait_for_tokens(&self, what: &str, more: u64) {
        let wanted = self.tokens() + more;
        self.wait(what, || self.tokens() >= wanted);
        let entries = self.emulator.summary().entries;
        self.wait(what, || self.emulator.summary().entries > entries);
    }

    fn break_for(&self, fault: &str, count: u64) {
        self.emulator.clear_faults();
        self.emulator
            .add_fault(Fault::parse(&format!("{fault},count={count}")).unwrap());
        self.wait(fault, || self.emulator.faults().is_empty());
        self.wait_for_tokens(fault, 1);
    }
}

/// Neither a config file nor a resource principal nor an instance: an error, and not a hang.
#[test]
fn without_any_credentials_it_ends_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    // Its port is free again: whoever connects is refused.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metadata = format!("http://{}/opc/v2", nobody.local_addr().unwrap());
    drop(nobody);
    let output = Command::new(env!("CARGO_BIN_EXE_platform-agent"))
        .arg("run")
        .env("HOME", dir.path())
        .env("OCI_METADATA_BASE_URL", metadata)
        .env("PLATFORM_AGENT_STATE__DIR", dir.path().join("state"))
        .env("PLATFORM_AGENT_SOURCE__CONTAINERS_DIR", dir.path())
        .env("PLATFORM_AGENT_LOGGING__LOG_ID", LOG_ID)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for words in [
        "signing in with instance_principal: there is no",
        "the instance metadata service",
        "exists only on an OCI compute instance",
        "choose another auth",
    ] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
}

#[test]
fn tokens_certificates_and_clocks_come_and_go_and_no_line_is_lost() {
    let world = World::start();
    let writer = Writer::start(&world.dir.path().join("containers"));
    world.wait_for_tokens("the second token", 2);
    let chosen = "signing in with instance_principal: there is no";
    assert!(world.log().contains(chosen), "{}", world.log());
    let limits = fs::read_to_string(format!("/proc/{}/limits", world.agent.id())).unwrap();
    let core = limits.lines().find(|line| line.contains("core file"));
    assert!(core.unwrap().contains(" 0 "), "{limits}");

    // Refused refreshes, and a metadata service and federation that are not well.
    world.break_for("401,path=/v1/x509", 3);
    world.break_for("500,path=/v1/x509", 4);
    world.break_for("404,path=/identity/cert.pem", 4);
    world.break_for("reset,path=/v1/x509", 2);

    // What Oracle does when something was stolen.
    world.control("/revoke", &json!("tokens"));
    world.wait_for_tokens("a token in place of the revoked one", 1);
    world.control("/rotate", &json!({}));
    world.wait_for_tokens("a token for the rotated certificate", 1);
    world.control("/revoke", &json!("certificates"));
    world.wait_for_tokens("a token for the certificate after the revoked one", 1);

    // The host's clock goes wrong, and is set again.
    let refused = || world.emulator.summary().refused.get(&401).copied();
    let before = refused();
    world.emulator.set_clock_offset_seconds(SKEW_SECONDS);
    world.wait("a request refused for its date", || refused() > before);
    world.emulator.set_clock_offset_seconds(0);
    world.wait_for_tokens("a token after the clock was set", 1);

    // Another tenancy is not followed, and the way back is.
    let home = world.control("", &json!({}))["tenancy"].clone();
    world.control("", &json!({"tenancy": "ocid1.tenancy.oc1..other"}));
    world.wait("the refusal of another tenancy", || {
        world
            .log()
            .contains("now names tenancy ocid1.tenancy.oc1..other")
    });
    world.control("", &json!({"tenancy": home}));
    world.wait_for_tokens("a token of the own tenancy", 1);

    let written = writer.stop();
    assert!(written > 100, "{written} lines are no test");
    let arrived = || -> BTreeSet<u64> {
        let entries = world.emulator.entries(&Query::default());
        entries
            .iter()
            .map(|entry| entry.data.trim_end().parse().unwrap())
            .collect()
    };
    world.wait("the last line", || arrived().len() as u64 >= written);
    assert_eq!(arrived(), (0..written).collect());
    assert_eq!(world.emulator.summary().conflicts, 0);
    let World { agent, dir, .. } = world;
    assert!(agent.terminate(Duration::from_secs(20)).unwrap().success());
    let log = fs::read_to_string(dir.path().join("agent.log")).unwrap();
    assert!(
        !log.contains("ST$") && !log.contains("PRIVATE KEY"),
        "{log}"
    );
}
