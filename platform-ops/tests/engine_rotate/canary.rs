//! Secrets go through every command and are then looked for wherever others could read them.

mod command;
mod watch;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::by_hand::by_hand_with;
use crate::host::{Host, Run, docker};
use crate::setup::{ROLE, application};

/// Those that `init` makes; the last of all `app add` makes.
const KEYS: [&str; 5] = [
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "PGBOUNCER_ADMIN_PASSWORD",
    "TRADING_APP_DB_PASSWORD",
    "LIBRARIAN_DB_PASSWORD",
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
    let mut canary = Canary::new(Host::new());
    canary.watched(|canary| {
        canary.platform();
        canary.every_command();
        canary.every_database();
        canary.every_rotation();
        canary.every_error();
    });
    canary.look_back();
    canary.statements();
    assert!(canary.secrets.len() >= 12, "{}", canary.secrets.len());
    canary.judge(&[
        ("log of postgres", "SCRAM-SHA-256$"),
        ("pg_stat_statements", "role"),
        ("output of secrets rotate", "recreate"),
    ]);
}

#[test]
fn t46_a_secret_of_a_host_by_hand_is_found_nowhere_else_after_it_was_taken_over() {
    // Of this run alone: other tests have secrets, too, and handle them as a hand would.
    let secrets = ["Admin", "Redis", "Trading"]
        .map(|name| format!("{name}Canary{}abcdefghij", std::process::id()));
    let [admin, redis, trading] = &secrets;
    let mut canary = Canary::new(by_hand_with(&[], [admin, redis, trading]));
    canary.secrets.extend(secrets);
    canary.watched(Canary::takeover);
    canary.look_back();
    canary.judge(&[("output of adopt --take redis --yes", "append-only")]);
}

impl Canary {
    fn new(host: Host) -> Self {
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
    fn run(&mut self, code: i32, arguments: &[&str]) -> Run {
        self.run_with(code, arguments, "")
    }

    fn run_with(&mut self, code: i32, arguments: &[&str], stdin: &str) -> Run {
        let run = Run::fed(&mut self.command(arguments), stdin);
        assert_eq!(run.code, code, "{arguments:?}: {}", run.all());
        self.keep(arguments, &run);
        run
    }

    /// Where the exit code depends on the host.
    fn run_anyhow(&mut self, arguments: &[&str]) {
        let run: Run = self.command(arguments).output().unwrap().into();
        self.keep(arguments, &run);
    }

    fn keep(&mut self, arguments: &[&str], run: &Run) {
        let place = format!("output of {}", arguments.join(" "));
        self.seen.add(&place, run.all());
        self.learn();
    }

    fn learn(&mut self) {
        let text = self.host.read("config/platform.env");
        for key in KEYS {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{key}=")));
            // A reference to another key is none.
            let is_secret = |value: &&str| value.len() > 8 && !value.starts_with("${");
            self.secrets
                .extend(value.filter(is_secret).map(str::to_owned));
        }
    }

    fn learn_journal(&mut self) {
        let text = self.host.read("config/rotation.json");
        let journal: serde_json::Value = serde_json::from_str(&text).unwrap();
        let secret = journal["to"]["secret"].as_str().unwrap();
        self.secrets.insert(secret.to_owned());
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
        for (index, key) in KEYS[..4].iter().enumerate() {
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
        self.learn_journal();
        self.run(4, &["secrets", "rotate", "redis", "--yes"]);
        self.run(0, &rotate);
        self.crash(&rotate);
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
                let run: Run = self.command(arguments).output().unwrap().into();
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

    /// Each of these places was really looked at, with this in it; no secret is anywhere.
    fn judge(&self, places: &[(&str, &str)]) {
        let always = [
            ("events", "exec_create"),
            ("exec", "ProcessConfig"),
            ("arguments and environment", "compose"),
            ("process", "platform-ops"),
        ];
        for (place, word) in always.iter().chain(places) {
            assert!(
                self.seen.has(place, word),
                "{place} has no {word}: it was not looked at"
            );
        }
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
