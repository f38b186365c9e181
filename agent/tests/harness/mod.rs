//! The real agent between containers' logs and the emulator, for tests.

// Each test program uses its own part of this.
#![allow(dead_code, clippy::unwrap_used)]

pub mod permission;
pub mod way;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use fixtures::agent_process::{AgentConfig, AgentProcess};
use fixtures::arrival::{self, Arrival};
use fixtures::emulator::{Credential, Emulator, Fault, Options, Query};
use fixtures::wait;
use tempfile::TempDir;

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_platform-agent");
/// The log that the agent writes to.
pub const LOG_ID: &str = "ocid1.log.oc1.eu-frankfurt-1.test";
/// When nothing new has come for so long, nothing will.
const QUIET_MAX: Duration = Duration::from_secs(30);
const ARRIVAL_MAX: Duration = Duration::from_secs(300);
/// From an event to the status that shows it.
const STATUS_MAX: Duration = Duration::from_secs(60);
/// `[shutdown] grace` and a little.
const END_MAX: Duration = Duration::from_secs(20);
/// What differs from the defaults: a request that hangs is given up sooner.
const SETTINGS: &str = "[send]\ntimeout = \"3s\"\nconnect_timeout = \"3s\"\n";

/// One emulator, one configuration, and an agent that comes and goes.
pub struct Harness {
    dir: TempDir,
    emulator: Emulator,
    agent: Option<AgentProcess>,
    arrival: Arrival,
    /// Sequence number of the last entry taken in.
    taken: u64,
    entries: u64,
}

impl Harness {
    /// An emulator, and the agent's configuration for it; the agent is not started yet.
    pub fn new(containers_dir: &Path, include: &[&str]) -> Self {
        Self::over(containers_dir, include, Options::default())
    }

    /// The same with an emulator that keeps entries only if they are not older than this.
    pub fn with_retention(containers_dir: &Path, retention: Duration) -> Self {
        let options = Options {
            retention,
            ..Options::default()
        };
        Self::over(containers_dir, &["*"], options)
    }

    /// The same with an emulator of this kind.
    pub fn over(containers_dir: &Path, include: &[&str], options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let credential = Credential::create(&dir.path().join("oci")).unwrap();
        let emulator = Emulator::start(Options {
            log_ids: vec![LOG_ID.to_owned()],
            keyring: credential.keyring(),
            ..options
        })
        .unwrap();
        AgentConfig {
            containers_dir: containers_dir.to_path_buf(),
            include: include.iter().map(|&glob| glob.to_owned()).collect(),
            state_dir: dir.path().join("state"),
            oci_config: credential.config_file,
            log_id: LOG_ID.to_owned(),
            endpoint: emulator.url(),
            more: SETTINGS.to_owned(),
        }
        .write(&dir.path().join("agent.toml"))
        .unwrap();
        Self {
            dir,
            emulator,
            agent: None,
            arrival: Arrival::default(),
            taken: 0,
            entries: 0,
        }
    }

    /// Sets a key for agents that are started from now on; `value` is TOML.
    pub fn set(&self, table: &str, key: &str, value: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let head = format!("[{table}]\n");
        let text = match text.contains(&head) {
            true => text.replace(&head, &format!("{head}{key} = {value}\n")),
            false => format!("{text}{head}{key} = {value}\n"),
        };
        std::fs::write(self.config(), text).unwrap();
    }

    /// Agents that are started from now on find the service here.
    pub fn redirect(&self, endpoint: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let text = text.replace(&self.emulator.url(), endpoint);
        std::fs::write(self.config(), text).unwrap();
    }

    /// Holds everything: credentials, state, the agent's log.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The agent's configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("agent.toml")
    }

    /// The service.
    pub fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    /// Starts the agent; it must not run.
    pub fn start_agent(&mut self) {
        self.start_agent_through(&[]);
    }

    /// Starts the agent through a program that becomes it.
    pub fn start_agent_through(&mut self, wrapper: &[&str]) {
        assert!(self.agent.is_none());
        let binary = Path::new(BINARY);
        let (config, log) = (self.config(), self.agent_log_path());
        let agent = AgentProcess::start_through(wrapper, binary, &config, &log).unwrap();
        self.agent = Some(agent);
    }

    /// The running agent's status, once it answers.
    pub fn status(&self) -> serde_json::Value {
        wait::until("the agent's status", END_MAX, || {
            let output = Command::new(BINARY)
                .args(["status", "--json", "--config"])
                .arg(self.config())
                .output()?;
            Ok(serde_json::from_slice(&output.stdout).ok())
        })
        .unwrap()
    }

    /// Waits until the status is as wanted.
    pub fn wait_for_status(&self, what: &str, is_so: impl Fn(&serde_json::Value) -> bool) {
        let waited = wait::until(what, STATUS_MAX, || Ok(is_so(&self.status()).then_some(())));
        waited.unwrap_or_else(|error| panic!("{error}\n{:#}\n{}", self.status(), self.agent_log()));
    }

    /// Whether the running agent holds a descriptor on the file that now has this name.
    pub fn holds(&self, path: &Path) -> bool {
        let folder = format!("/proc/{}/fd", self.agent_id());
        let links = std::fs::read_dir(folder).unwrap().flatten();
        links
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .any(|link| link == path)
    }

    /// Descriptors of the running agent that are open on files with `part` in their path.
    pub fn descriptors(&self, part: &str) -> usize {
        let folder = format!("/proc/{}/fd", self.agent_id());
        std::fs::read_dir(folder)
            .unwrap()
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .filter(|path| path.to_string_lossy().contains(part))
            .count()
    }

    /// SIGKILL.
    pub fn kill_agent(&mut self) {
        let mut agent = self.agent.take().unwrap();
        // One that has ended by itself is a failure, not something to kill.
        assert_eq!(agent.exit_status().unwrap(), None, "{}", self.agent_log());
        agent.kill().unwrap();
    }

    /// Whether an agent was started and not ended since.
    pub fn has_agent(&self) -> bool {
        self.agent.is_some()
    }

    /// The running agent's process id.
    pub fn agent_id(&self) -> u32 {
        self.agent.as_ref().unwrap().id()
    }

    /// SIGTERM; the agent must end by itself, with 0.
    pub fn terminate_agent(&mut self) {
        let status = self.agent.take().unwrap().terminate(END_MAX).unwrap();
        assert!(status.success(), "{status}\n{}", self.agent_log());
    }

    /// What every agent of this harness has printed.
    pub fn agent_log(&self) -> String {
        std::fs::read_to_string(self.agent_log_path()).unwrap_or_default()
    }

    fn agent_log_path(&self) -> PathBuf {
        self.dir.path().join("agent.log")
    }

    /// Takes in what has arrived since the last call. An id with two contents fails the test.
    pub fn take_in(&mut self) {
        for entry in self.emulator.entries(&Query {
            after: self.taken,
            ..Query::default()
        }) {
            self.arrival
                .add(&entry.subject, &entry.id, &entry.time, &entry.data)
                .unwrap();
            self.taken = entry.seq;
            self.entries += 1;
        }
    }

    /// Entries taken in so far, those that came twice included.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Distinct ids of one container.
    pub fn ids(&self, container: &str) -> usize {
        self.arrival.ids(container)
    }

    /// Texts of the gap markers that have arrived in one container's log.
    pub fn gaps(&self, container: &str) -> Vec<&str> {
        self.arrival.gaps(container)
    }

    /// The lines of one container that have arrived so far.
    pub fn lines(&self, container: &str) -> Vec<String> {
        self.arrival.lines(container).unwrap_or_default()
    }

    /// From now on this goes wrong, too.
    pub fn add_fault(&self, fault: Fault) {
        self.emulator.add_fault(fault);
    }

    /// Waits until exactly these lines (sorted) of a container have arrived, each once by its id.
    pub fn assert_arrived(&mut self, container: &str, lines: &[String]) {
        let mut looked_at = usize::MAX;
        let mut newest = (Instant::now(), 0);
        let arrived = wait::until("the last lines", ARRIVAL_MAX, || {
            self.take_in();
            let ids = self.ids(container);
            if newest.1 != self.entries {
                newest = (Instant::now(), self.entries);
            } else if newest.0.elapsed() > QUIET_MAX {
                return Err(io::Error::other("nothing comes any more"));
            }
            // Joining them is only worth the while when something is new.
            if ids < lines.len() || ids == looked_at {
                return Ok(None);
            }
            looked_at = ids;
            Ok(self
                .arrival
                .lines(container)
                .ok()
                .filter(|arrived| arrived.len() >= lines.len()))
        });
        let Ok(mut arrived) = arrived else {
            panic!(
                "{}\n{}",
                self.what_is_missing(container, lines),
                self.agent_log()
            );
        };
        arrived.sort_unstable();
        assert!(
            arrived == lines,
            "{}\n{}",
            self.what_is_missing(container, lines),
            self.agent_log()
        );
    }

    fn what_is_missing(&self, container: &str, lines: &[String]) -> String {
        let arrived = match self.arrival.lines(container) {
            Ok(arrived) => arrived,
            Err(fault) => return format!("{container}: {fault}\n{}", self.neighbours(&fault)),
        };
        let mut balance: BTreeMap<&str, i64> = BTreeMap::new();
        lines
            .iter()
            .for_each(|line| *balance.entry(line).or_default() -= 1);
        arrived
            .iter()
            .for_each(|line| *balance.entry(line).or_default() += 1);
        let examples = |sign: i64| -> Vec<String> {
            let lines = balance
                .iter()
                .filter(|(_, count)| **count * sign > 0)
                .take(5);
            lines
                .map(|(line, _)| line.chars().take(60).collect())
                .collect()
        };
        format!(
            "{container}: {} lines written, {} arrived under {} ids\nmissing {:#?}\ntoo many {:#?}",
            lines.len(),
            arrived.len(),
            self.arrival.ids(container),
            examples(-1),
            examples(1)
        )
    }

    /// What arrived next to a line that is not whole.
    fn neighbours(&self, fault: &arrival::Fault) -> String {
        let arrival::Fault::Incomplete { line, .. } = fault else {
            return String::new();
        };
        let mut entries = self.emulator.entries(&Query::default());
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        entries.dedup_by(|a, b| a.id == b.id);
        let at = entries.partition_point(|entry| &*entry.id < line.as_str());
        let near = &entries[at.saturating_sub(6)..entries.len().min(at + 8)];
        near.iter()
            .map(|entry| {
                let text: String = entry.data.chars().take(30).collect();
                let (length, time) = (entry.data.len(), &entry.time);
                format!("{:40} {time} {length:5} {} {text:?}\n", entry.id, entry.seq)
            })
            .collect()
    }

    /// The service neither cut an entry nor dropped one for its age, and no id had two contents.
    pub fn assert_nothing_was_cut_or_dropped(&self) {
        let summary = self.emulator.summary();
        assert_eq!(summary.cut, 0);
        assert_eq!(summary.dropped_old, 0);
        assert_eq!(summary.conflicts, 0);
    }
}
