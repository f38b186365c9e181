//! Where others could read a secret: while the commands run, and afterwards.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Canary, Seen};
use crate::host::docker;

impl Canary {
    /// Does some work and looks on meanwhile.
    pub(super) fn watched(&mut self, work: impl FnOnce(&mut Self)) {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut events, reader) = events(&self.seen);
        let processes = std::thread::spawn({
            let (seen, stop) = (self.seen.clone(), stop.clone());
            move || watch_processes(&seen, &stop)
        });
        work(self);
        stop.store(true, Ordering::Relaxed);
        processes.join().unwrap();
        events.kill().unwrap();
        events.wait().unwrap();
        reader.join().unwrap();
    }

    pub(super) fn statements(&mut self) {
        let statements = self
            .host
            .psql("postgres", "select query from pg_stat_statements")
            .ok();
        self.seen.add("pg_stat_statements", statements.out);
    }

    /// What stays behind: logs, inspect, files.
    pub(super) fn look_back(&mut self) {
        for service in ["postgres", "redis", "pgbouncer"] {
            let name = self.host.container(service);
            self.seen
                .add(&format!("log of {service}"), docker(&["logs", &name]).all());
            self.seen.add(
                &format!("inspect of {service}"),
                docker(&["inspect", &name]).ok().out,
            );
        }
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
