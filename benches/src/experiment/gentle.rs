//! A database on the same host, while the agent works off a backlog: pgbench's latencies with the
//! agent stopped and going on, in turns.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use super::{Bench, finish};
use crate::corpus::{Corpus, Spec, make_container};
use crate::figure::Figure;
use crate::process::Program;
use crate::sink::{Mode, Sink};

/// `scripts/stack-images` makes it.
const IMAGE: &str = "platform-test/pgvector:pg17";
const START_TRIES: u32 = 120;
const START_PAUSE: Duration = Duration::from_millis(500);
/// A rate that a small host keeps easily, with clients that wait for each other's processes.
const ROUND: &str = "cd /tmp && rm -f round.* && \
    pgbench -n -U postgres -c 4 -j 1 -R 150 -T 8 -l --log-prefix=round postgres >&2 && cat round.*";
const BEGIN_PATIENCE: Duration = Duration::from_secs(30);
/// A backlog that outlasts all rounds: links to one file.
const FILES: u64 = 400;

/// Measures `pairs` of rounds for the agent as it is and with `[send] max_bytes_per_second`.
///
/// # Errors
/// When there is no Docker engine or no image, or the agent is done too early.
pub fn measure(bench: &Bench<'_>, spec: Spec, pairs: usize) -> Result<Vec<Figure>> {
    let corpus = Corpus::prepare(&bench.corpora, spec)?;
    let dir = bench.corpora.join("gentle");
    let _ = fs::remove_dir_all(&dir);
    for n in 0..FILES {
        fs::hard_link(&corpus.files()?[0], make_container(&dir, n)?)?;
    }
    let database = Database::start()?;
    let mut figures = Vec::new();
    for (name, more) in [
        ("unlimited", ""),
        ("5MiB", "[send]\nmax_bytes_per_second = \"5MiB\"\n"),
    ] {
        bench.sink.reset(Mode::Discard);
        let mut agent = bench.setup.start_agent(&dir, bench.sink, more)?;
        begin(&mut agent, bench.sink)?;
        let mut samples: [[Vec<f64>; 2]; 2] = Default::default();
        for pair in 0..pairs {
            // Which comes first alternates: a drift of the machine hits both.
            for with in [pair % 2, 1 - pair % 2] {
                agent.signal([Signal::SIGSTOP, Signal::SIGCONT][with])?;
                for (percentile, latency) in database.round()?.into_iter().enumerate() {
                    samples[percentile][with].push(latency);
                }
            }
        }
        agent.signal(Signal::SIGCONT)?;
        let sent = bench.sink.bytes();
        ensure!(
            sent < FILES * corpus.bytes,
            "the agent was done before the rounds were"
        );
        finish(agent, bench.sink)?;
        for (what, [without, with]) in ["p50", "p99"].into_iter().zip(samples) {
            let name = format!("gentle/{name}/{what}");
            let without = Figure::new(format!("{name}-without"), "ms", without);
            let with = Figure::new(format!("{name}-with"), "ms", with);
            figures.push(Figure::ratio(name, &with, &without));
            figures.extend([without, with]);
        }
    }
    fs::remove_dir_all(&dir)?;
    Ok(figures)
}

/// Waits until it sends.
fn begin(agent: &mut Program, sink: &Sink) -> Result<()> {
    let until = Instant::now() + BEGIN_PATIENCE;
    while sink.bytes() == 0 {
        agent.check()?;
        ensure!(Instant::now() < until, "nothing came");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A server with pgbench's tables; it goes when this does.
struct Database(String);

impl Database {
    fn start() -> Result<Self> {
        let name = format!("bench-gentle-{}", std::process::id());
        let trust = "POSTGRES_HOST_AUTH_METHOD=trust";
        let arguments = [
            "run", "--detach", "--rm", "--name", &name, "--env", trust, IMAGE,
        ];
        docker(&arguments).context("scripts/docker-engine and scripts/stack-images make it")?;
        let database = Self(name);
        // The entrypoint's own server, while it initialises, listens on no address.
        for _ in 0..START_TRIES {
            if database.shell("pg_isready -q -h 127.0.0.1").is_ok() {
                database.shell("pgbench -q -i -s 20 -U postgres postgres")?;
                return Ok(database);
            }
            std::thread::sleep(START_PAUSE);
        }
        anyhow::bail!("PostgreSQL does not get ready")
    }

    fn shell(&self, script: &str) -> Result<String> {
        docker(&["exec", &self.0, "sh", "-c", script])
    }

    /// p50 and p99 of a round, ms.
    fn round(&self) -> Result<[f64; 2]> {
        let text = self.shell(ROUND)?;
        // pgbench(1): client, transaction, microseconds, script, epoch, microseconds, lag.
        let latency = |line: &str| line.split(' ').nth(2)?.parse::<f64>().ok();
        let mut latencies: Vec<f64> = text.lines().filter_map(latency).collect();
        ensure!(!latencies.is_empty(), "pgbench logged nothing");
        latencies.sort_by(f64::total_cmp);
        Ok([50, 99].map(|percent| latencies[latencies.len() * percent / 100] / 1_000.0))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = docker(&["rm", "--force", &self.0]);
    }
}

fn docker(arguments: &[&str]) -> Result<String> {
    let output = Command::new("docker").args(arguments).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "docker {arguments:?}: {error}");
    Ok(String::from_utf8(output.stdout)?)
}
