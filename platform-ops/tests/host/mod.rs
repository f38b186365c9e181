//! A host for a test: a root of its own in a temporary folder, names of its own on the engine.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "each test binary uses its part"
)]

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

pub const POSTGRES_IMAGE: &str = "platform-test/pgvector:pg17";
pub const REDIS_IMAGE: &str = "platform-test/redis:7.2";
pub const PGBOUNCER_IMAGE: &str = "platform-test/pgbouncer:1";

/// The version that deploy/agent/compose.yaml names.
pub const AGENT_IMAGE: &str = "platform-agent:0.1.0";

pub struct Host {
    pub prefix: String,
    folder: tempfile::TempDir,
}

pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    /// Runs a command to its end, with this as its input.
    pub fn fed(command: &mut Command, input: &str) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap().into()
    }

    /// Both streams, for a message or a search.
    pub fn all(&self) -> String {
        format!("code {}\n{}{}", self.code, self.out, self.err)
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.all());
        self
    }

    /// The last JSON line of stdout.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let line = self
            .out
            .lines()
            .last()
            .unwrap_or_else(|| panic!("{}", self.all()));
        serde_json::from_str(line).unwrap_or_else(|_| panic!("{}", self.all()))
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Host {
    /// With nothing on it.
    pub fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            prefix: format!("opst{}x{number}", std::process::id()),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With a stack laid out, nothing started.
    pub fn initialised() -> Self {
        let host = Self::new();
        host.init(&["--app", "trading-app"]).ok();
        host
    }

    /// With a stack that runs.
    pub fn running() -> Self {
        let host = Self::initialised();
        host.ops(&["up"]).ok();
        host
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("srv")
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    pub fn read(&self, relative: &str) -> String {
        std::fs::read_to_string(self.path(relative)).unwrap()
    }

    pub fn container(&self, service: &str) -> String {
        format!("{}-{service}", self.prefix)
    }

    pub fn network(&self) -> String {
        format!("{}-net", self.prefix)
    }

    /// The settings that keep this host apart from others on the engine.
    pub fn settings(&self) -> Vec<(String, String)> {
        let mut settings = vec![
            ("PLATFORM_PROJECT".to_owned(), self.prefix.clone()),
            ("PLATFORM_NETWORK".to_owned(), self.network()),
            (
                "PLATFORM_POSTGRES_SHARED_BUFFERS".to_owned(),
                "32MB".to_owned(),
            ),
        ];
        let images = [
            ("postgres", POSTGRES_IMAGE),
            ("redis", REDIS_IMAGE),
            ("pgbouncer", PGBOUNCER_IMAGE),
        ];
        for (service, image) in images {
            let key = service.to_uppercase();
            settings.push((format!("PLATFORM_{key}_CONTAINER"), self.container(service)));
            settings.push((format!("PLATFORM_{key}_IMAGE"), image.to_owned()));
        }
        settings
    }

    pub fn init(&self, more: &[&str]) -> Run {
        let settings = self
            .settings()
            .into_iter()
            .flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]);
        let mut arguments = vec!["init".to_owned()];
        arguments.extend(settings.chain(more.iter().map(|argument| (*argument).to_owned())));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.ops(&arguments)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_platform-ops"));
        command
            .arg("--root")
            .arg(self.root())
            .args(arguments)
            .stdin(Stdio::null())
            .env("NO_COLOR", "1");
        command
    }

    pub fn ops(&self, arguments: &[&str]) -> Run {
        self.command(arguments).output().unwrap().into()
    }

    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// A value of platform.env, which these tests write without quotes.
    pub fn env(&self, key: &str) -> String {
        let text = self.read("config/platform.env");
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{key}=")));
        value
            .unwrap_or_else(|| panic!("{key} is not in platform.env"))
            .to_owned()
    }

    /// Appends a line to platform.env.
    pub fn set_env(&self, line: &str) {
        let text = self.read("config/platform.env");
        std::fs::write(self.path("config/platform.env"), format!("{text}{line}\n")).unwrap();
    }

    /// Ids of the containers, by service.
    pub fn ids(&self) -> Vec<String> {
        let inspect = |service: &&str| {
            docker(&["inspect", "--format", "{{.Id}}", &self.container(service)])
                .ok()
                .out
        };
        ["postgres", "redis", "pgbouncer"]
            .iter()
            .map(inspect)
            .collect()
    }

    pub fn psql(&self, database: &str, sql: &str) -> Run {
        docker(&[
            "exec",
            &self.container("postgres"),
            "psql",
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "platform_admin",
            "-d",
            database,
            "-c",
            sql,
        ])
    }

    /// A client on the platform's network, as an application is.
    pub fn client(&self, env: &str, arguments: &[&str]) -> Run {
        let network = self.network();
        let mut all = vec![
            "run",
            "--rm",
            "--network",
            &network,
            "--env",
            env,
            "--entrypoint",
            arguments[0],
            POSTGRES_IMAGE,
        ];
        all.extend(&arguments[1..]);
        docker(&all)
    }
}

impl Host {
    /// A text without what is this host's alone: its root and its names; and without the masters
    /// of files outside of the root, which are the machine's, and the count that holds them.
    pub fn normal(&self, text: &str) -> String {
        let text = text
            .replace(&self.root().display().to_string(), "/srv")
            .replace(&self.prefix, "test");
        let is_machine = |line: &&str| line.contains("/config/host/");
        let has_machine = text.lines().any(|line| is_machine(&line));
        let kept = text
            .lines()
            .filter(|line| !(is_machine(line) || has_machine && line.starts_with("Plan of")));
        kept.map(|line| format!("{line}\n")).collect()
    }
}

pub fn docker(arguments: &[&str]) -> Run {
    Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
        .into()
}

/// Until it can be reached over TCP, which initdb's own server cannot.
pub fn wait_for_postgres(container: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(300);
    while docker(&["exec", container, "pg_isready", "-h", "127.0.0.1"]).code != 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "{}",
            docker(&["logs", container]).all()
        );
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let list = docker(&["ps", "-aq", "--filter", &format!("name={}", self.prefix)]).out;
        for id in list.lines() {
            docker(&["rm", "--force", "--volumes", id]);
        }
        docker(&["network", "rm", &self.network()]);
        // Made by Compose when the agent is on.
        docker(&["network", "rm", &format!("{}-agent", self.prefix)]);
    }
}

/// Permission bits and owner of a path.
pub fn access(path: &Path) -> (u32, u32) {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).unwrap();
    (metadata.mode() & 0o7777, metadata.uid())
}

/// Signals a run as soon as its audit log shows that many steps begun; its exit code.
pub fn signal_after(
    host: &Host,
    steps: usize,
    signal: &str,
    spawn: impl Fn() -> Child,
) -> Option<i32> {
    let count = || {
        let text =
            std::fs::read_to_string(host.path("data/platform-ops/audit.jsonl")).unwrap_or_default();
        text.matches("\"event\":\"step\"").count()
    };
    let before = count();
    let mut child = spawn();
    let mut sent = false;
    loop {
        if !sent && count() >= before + steps {
            // It may have ended meanwhile.
            let _ = Command::new("kill")
                .args([format!("-{signal}"), child.id().to_string()])
                .status();
            sent = true;
        }
        if let Some(status) = child.try_wait().unwrap() {
            let expected = status.signal() == Some(9) || status.success();
            let run: Run = child.wait_with_output().unwrap().into();
            assert!(expected || run.code == 130, "{}", run.all());
            return status.code();
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// What `doctor` finds.
pub fn findings(host: &Host) -> Vec<serde_json::Value> {
    let run = host.ops(&["doctor", "--json"]);
    assert!([0, 3, 4].contains(&run.code), "{}", run.all());
    run.json()["findings"].as_array().unwrap().clone()
}

pub fn is_found(findings: &[serde_json::Value], check: &str, subject: &str) -> bool {
    findings.iter().any(|finding| {
        finding["check"] == check && finding["subject"].as_str().unwrap().contains(subject)
    })
}

#[track_caller]
pub fn assert_found(findings: &[serde_json::Value], wanted: &[(&str, &str)]) {
    for (check, subject) in wanted {
        assert!(
            is_found(findings, check, subject),
            "{check} {subject} is not among\n{}",
            serde_json::to_string_pretty(findings).unwrap()
        );
    }
}

/// What the agent needs to start: a key, and an address where nobody answers.
pub fn agent_configuration(host: &Host) {
    let key = include_str!("../../../fixtures/signing/vector-pkcs8.pem");
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
}
