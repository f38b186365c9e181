//! Secrets go through every command and are then looked for wherever others could read them.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::host::{Host, docker};
use crate::setup::{ROLE, application};

const KEYS: [&str; 4] = [
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "PGBOUNCER_ADMIN_PASSWORD",
    "TRADING_APP_DB_PASSWORD",
];

/// What was seen while the commands ran, by where.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(String, String)>>>);

impl Seen {
    fn add(&self, place: &str, text: impl Into<String>) {
        self.0.lock().unwrap().push((place.to_owned(), text.into()));
    }

    fn has(&self, place: &str, word: &str) -> bool {
        let seen = self.0.lock().unwrap();
        seen.iter()
            .any(|(at, text)| at.starts_with(place) && text.contains(word))
    }
}

struct Canary {
    host: Host,
    seen: Seen,
    /// Every secret that ever was.
    secrets: BTreeSet<String>,
    wrapper: tempfile::TempDir,
}

#[test]
fn t45_t46_a_secret_is_found_nowhere_but_in_files_of_mode_600() {
    let mut canary = Canary::new();
    let stop = Arc::new(AtomicBool::new(false));
    let events = events(&canary.seen);
    let processes = std::thread::spawn({
        let (seen, stop) = (canary.seen.clone(), stop.clone());
        move || watch_processes(&seen, &stop)
    });
    canary.platform();
    canary.every_command();
    canary.every_rotation();
    canary.every_error();
    stop.store(true, Ordering::Relaxed);
    processes.join().unwrap();
    let (mut child, reader) = events;
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    canary.look_back();
    canary.judge();
}

impl Canary {
    fn new() -> Self {
        let host = Host::new();
        let wrapper = tempfile::tempdir().unwrap();
        let real = Command::new("sh")
            .args(["-c", "command -v docker"])
            .output()
            .unwrap();
        let log = wrapper.path().join("log");
        // Every program that platform-ops starts is this one.
        let script = format!(
            "#!/bin/sh\n{{ tr '\\0' ' ' </proc/$$/cmdline; tr '\\0' ' ' </proc/$$/environ; echo; }} >>{}\nexec {} \"$@\"\n",
            log.display(),
            String::from_utf8_lossy(&real.stdout).trim()
        );
        let path = wrapper.path().join("docker");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            host,
            seen: Seen::default(),
            secrets: BTreeSet::new(),
            wrapper,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut command = self.host.command(arguments);
        command.env("PATH", format!("{}:{path}", self.wrapper.path().display()));
        command
    }

    /// Runs a command, keeps what it said and the secrets that there are then.
    fn run(&mut self, code: i32, arguments: &[&str]) {
        self.run_with(code, arguments, "");
    }

    fn run_with(&mut self, code: i32, arguments: &[&str], stdin: &str) {
        let run = crate::host::Run::fed(&mut self.command(arguments), stdin);
        assert_eq!(run.code, code, "{arguments:?}: {}", run.all());
        self.seen
            .add(&format!("output of {}", arguments.join(" ")), run.all());
        self.learn();
    }

    fn learn(&mut self) {
        let text = self.host.read("config/platform.env");
        for key in KEYS {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{key}=")));
            self.secrets
                .extend(value.filter(|value| value.len() > 8).map(str::to_owned));
        }
    }

    fn platform(&mut self) {
        let settings: Vec<String> = self
            .host
            .settings()
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let mut arguments = vec!["init", "--app", "trading-app"];
        for setting in &settings {
            arguments.extend(["--set", setting]);
        }
        self.run(0, &arguments);
        for (index, key) in KEYS.iter().enumerate() {
            self.run_with(
                0,
                &["secrets", "set", key, "--yes"],
                &format!("CanaryNumber{index}abcdefghij{index}"),
            );
        }
        self.run(0, &["up", "--dry-run", "--json"]);
        self.run(0, &["up"]);
        for sql in [
            "alter system set log_statement = 'all'",
            "alter system set shared_preload_libraries = 'pg_stat_statements'",
            &format!("create role {ROLE} login"),
            &format!("create database trading_db owner {ROLE}"),
        ] {
            self.host.psql("postgres", sql).ok();
        }
        self.run(0, &["restart", "postgres", "--yes"]);
        self.host
            .psql("postgres", "create extension pg_stat_statements")
            .ok();
        let environment = "{DB_PASSWORD: \"${TRADING_APP_DB_PASSWORD}\", PGUSER: \"${TRADING_APP_DB_USER:-trading_app_user}\", REDIS: \"${REDIS_PASSWORD}\"}";
        application(&self.host, environment, "sleep 600", "");
    }

    fn every_command(&mut self) {
        for (code, arguments) in [
            (0, &["init"][..]),
            (4, &["adopt", "--dry-run"]),
            (0, &["secrets", "list"]),
            (0, &["secrets", "check", "--json"]),
            (0, &["pooler", "show", "pools"]),
            (0, &["pooler", "show", "config", "--json"]),
            (0, &["pooler", "pause", "--for", "100ms"]),
            (0, &["pooler", "resume"]),
            (0, &["pooler", "reload"]),
            (0, &["app", "list", "--json"]),
            (0, &["app", "run", "trading-app", "distributor", "exit 0"]),
            (0, &["app", "down", "trading-app"]),
            (0, &["app", "up", "trading-app"]),
            (0, &["logs", "-n", "1000"]),
            (4, &["agent", "status"]),
            (0, &["restart", "redis", "--yes"]),
        ] {
            self.run(code, arguments);
        }
        // Their exit codes depend on the host.
        for command in ["doctor", "status"] {
            let run: crate::host::Run = self.command(&[command, "--json"]).output().unwrap().into();
            self.seen.add(&format!("output of {command}"), run.all());
        }
        self.run_with(
            0,
            &["secrets", "import", "--yes"],
            "OTHER_TOKEN=CanaryImportedabcdefghij\n",
        );
        self.secrets.insert("CanaryImportedabcdefghij".to_owned());
    }

    fn every_rotation(&mut self) {
        for role in [ROLE, "redis", "platform_admin", "pgbouncer_admin"] {
            self.run(0, &["secrets", "rotate", role, "--dry-run", "--json"]);
            self.run(0, &["secrets", "rotate", role, "--yes", "--json"]);
        }
        // Killed between, and finished.
        let rotate = ["secrets", "rotate", ROLE, "--yes"];
        let mut command = self.command(&rotate);
        crate::kill::killed_at(&self.host, "set ", 0, || {
            command
                .stderr(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        });
        if let Ok(text) = std::fs::read_to_string(self.host.path("config/rotation.json")) {
            let journal: serde_json::Value = serde_json::from_str(&text).unwrap();
            self.secrets
                .insert(journal["to"]["secret"].as_str().unwrap().to_owned());
        }
        self.run(4, &["secrets", "rotate", "redis", "--yes"]);
        self.run(0, &rotate);
        self.run(0, &["secrets", "rotate", ROLE, "--alternate", "--yes"]);
        self.run(0, &["secrets", "rotate", ROLE, "--yes"]);
    }

    fn every_error(&mut self) {
        let path = self.host.path("config/platform.env");
        let good = std::fs::read_to_string(&path).unwrap();
        let secret = self.host.env("REDIS_PASSWORD");
        for bad in [
            format!("X_PASSWORD='{secret}\n"),
            format!("X PASSWORD={secret}\n"),
            format!("X_PASSWORD=${{{secret}\n"),
        ] {
            std::fs::write(&path, format!("{good}{bad}")).unwrap();
            for arguments in [
                &["up"][..],
                &["secrets", "check"],
                &["secrets", "rotate", ROLE],
            ] {
                let run: crate::host::Run = self.command(arguments).output().unwrap().into();
                assert_ne!(run.code, 0, "{bad}{}", run.all());
                self.seen
                    .add(&format!("error of {}", arguments.join(" ")), run.all());
            }
        }
        std::fs::write(&path, &good).unwrap();
        self.run_with(2, &["secrets", "import"], &format!("A_TOKEN='{secret}\n"));
        self.run_with(4, &["secrets", "set", "A_TOKEN"], &secret);
        docker(&["stop", &self.host.container("pgbouncer")]).ok();
        self.run(4, &["secrets", "rotate", ROLE, "--yes"]);
        self.run(0, &["up"]);
    }

    /// What stays behind: logs, statistics, inspect, files.
    fn look_back(&mut self) {
        for service in ["postgres", "redis", "pgbouncer"] {
            let name = self.host.container(service);
            self.seen
                .add(&format!("log of {service}"), docker(&["logs", &name]).all());
            self.seen.add(
                &format!("inspect of {service}"),
                docker(&["inspect", &name]).ok().out,
            );
        }
        let statements = self
            .host
            .psql("postgres", "select query from pg_stat_statements")
            .ok();
        self.seen.add("pg_stat_statements", statements.out);
        let calls = std::fs::read_to_string(self.wrapper.path().join("log")).unwrap();
        self.seen
            .add("arguments and environment of programs", calls);
        let mut private = 0;
        walk(&self.host.root(), &mut |path| {
            let bytes = std::fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            if crate::host::access(path).0 & 0o077 != 0 {
                self.seen.add(&path.display().to_string(), text);
            } else if self
                .secrets
                .iter()
                .any(|secret| text.contains(secret.as_str()))
            {
                private += 1;
            }
        });
        assert!(private >= 4, "the search does not find what is there");
    }

    fn judge(&self) {
        // Each place was really looked at.
        for (place, word) in [
            ("log of postgres", "SCRAM-SHA-256$"),
            ("pg_stat_statements", "role"),
            ("events", "exec_create"),
            ("exec", "ProcessConfig"),
            ("arguments and environment", "compose"),
            ("process", "platform-ops"),
            ("output of secrets rotate", "recreate"),
        ] {
            assert!(
                self.seen.has(place, word),
                "{place} has no {word}: it was not looked at"
            );
        }
        assert!(self.secrets.len() >= 12, "{}", self.secrets.len());
        for (place, text) in self.seen.0.lock().unwrap().iter() {
            for secret in &self.secrets {
                if let Some(at) = text.find(secret.as_str()) {
                    let mut from = at.saturating_sub(300);
                    while !text.is_char_boundary(from) {
                        from -= 1;
                    }
                    panic!("{place} shows a secret: {}", &text[from..at + secret.len()]);
                }
            }
        }
    }
}

/// The engine's events, and each exec as anyone may inspect it.
fn events(seen: &Seen) -> (Child, std::thread::JoinHandle<()>) {
    let mut child = Command::new("docker")
        .args(["events", "--format", "{{json .}}"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let seen = seen.clone();
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(id) = event["Actor"]["Attributes"]["execID"].as_str() {
                seen.add("exec", inspect_exec(id));
            }
            seen.add("events", line);
        }
    });
    (child, reader)
}

fn inspect_exec(id: &str) -> String {
    let mut stream = UnixStream::connect("/var/run/docker.sock").unwrap();
    write!(stream, "GET /exec/{id}/json HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// Arguments of every process, in containers too; the environment of those on the host.
fn watch_processes(seen: &Seen, stop: &AtomicBool) {
    let own = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let mut known = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let path = entry.path();
            let Ok(arguments) = std::fs::read(path.join("cmdline")) else {
                continue;
            };
            // A program that is replaced keeps its number.
            if arguments.is_empty() || !known.insert((entry.file_name(), arguments.clone())) {
                continue;
            }
            let mut text = String::from_utf8_lossy(&arguments).into_owned();
            if std::fs::read_link(path.join("ns/pid")).is_ok_and(|namespace| namespace == own) {
                let environment = std::fs::read(path.join("environ")).unwrap_or_default();
                text += &String::from_utf8_lossy(&environment);
            }
            seen.add("process", text);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn walk(folder: &Path, look: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&path, look),
            Ok(kind) if kind.is_file() => look(&path),
            _ => {}
        }
    }
}
