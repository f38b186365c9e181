//! A database on the same host, while the agent works off a backlog. A timed thing: `make soak`
//! runs it, in release.

#![allow(clippy::unwrap_used)]

mod harness;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::Command;
use std::time::Duration;

use fixtures::docker_log::{DockerLog, Rotation};
use fixtures::emulator::Options;
use fixtures::wait;
use flate2::Compression;
use flate2::write::GzEncoder;

use harness::Harness;

const IMAGE: &str = "platform-test/pgvector:pg17";
/// Rounds without and with the agent, one after the other.
const PAIRS: usize = 8;
/// The database's own p99 may be longer by this factor.
const FACTOR_MAX: f64 = 1.1;
const SOON: Duration = Duration::from_secs(120);

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A server with pgbench's tables; it goes when this does.
struct Database(String);

impl Database {
    fn start() -> Self {
        let name = format!("gentle-{}", std::process::id());
        let arguments = ["run", "--detach", "--rm", "--name", &name];
        let trust = ["--env", "POSTGRES_HOST_AUTH_METHOD=trust", IMAGE];
        run("docker", &[&arguments[..], &trust].concat());
        let database = Self(name);
        // The entrypoint's own server, while it initialises, listens on no address.
        wait::until("the database", SOON, || {
            let arguments = ["exec", &database.0, "pg_isready", "-q", "-h", "127.0.0.1"];
            let status = Command::new("docker").args(arguments).status()?;
            Ok(status.success().then_some(()))
        })
        .unwrap();
        database.shell("pgbench -q -i -s 20 -U postgres postgres");
        database
    }

    fn shell(&self, script: &str) -> String {
        run("docker", &["exec", &self.0, "sh", "-c", script])
    }

    /// Latencies of ten seconds of pgbench at a rate that it keeps easily: p50 and p99, ms.
    fn round(&self) -> [f64; 2] {
        let text = self.shell(
            "cd /tmp && rm -f round.* && \
             pgbench -n -U postgres -c 4 -j 1 -R 150 -T 10 -l --log-prefix=round postgres >&2 && cat round.*",
        );
        // pgbench(1): client, transaction, microseconds, script, epoch, microseconds, lag.
        let latency = |line: &str| line.split(' ').nth(2)?.parse::<f64>().ok();
        let mut latencies: Vec<f64> = text.lines().filter_map(latency).collect();
        latencies.sort_by(f64::total_cmp);
        [50, 99].map(|percent| latencies[latencies.len() * percent / 100] / 1_000.0)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["rm", "--force", &self.0])
            .output();
    }
}

/// So many bytes of lines, of now: no retention has passed them.
fn fill(out: &mut impl Write, bytes: u64) {
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let second = now.trim_end_matches('Z');
    let block: String = (0..10_000)
        .map(|n| {
            format!(
                "{{\"log\":\"request {n:05} served in {} ms\\n\",\"stream\":\"stdout\",\"time\":\"{second}.{n:09}Z\"}}\n",
                n * 7_919 % 997,
            )
        })
        .collect();
    for _ in 0..bytes.div_ceil(block.len() as u64) {
        out.write_all(block.as_bytes()).unwrap();
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[ignore = "timed, and needs the engine: make soak"]
fn a_database_is_not_slowed_by_a_catch_up() {
    // The service is elsewhere in life: what stands in for it takes what nobody else wants.
    rustix::process::setpriority_process(None, 19).unwrap();
    let containers = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = Options {
        keep: 0,
        ..Options::default()
    };
    let mut harness = Harness::over(containers.path(), &["*"], options);
    let log = DockerLog::create(containers.path(), "web", Rotation::NONE).unwrap();
    let place = |suffix: &str| File::create(format!("{}.{suffix}", log.path().display())).unwrap();
    let mut oldest = BufWriter::new(place("2"));
    fill(&mut oldest, 1 << 30);
    oldest.into_inner().unwrap().sync_all().unwrap();
    let mut older = GzEncoder::new(place("1.gz"), Compression::fast());
    fill(&mut older, 24 << 30);
    older.finish().unwrap();
    let database = Database::start();
    harness.start_agent();
    harness.wait_for_status("the catch-up", |status| status["accepted_entries"] != 0);
    let process = harness.agent_id().to_string();
    let mut factors = Vec::new();
    for n in 0..PAIRS {
        // Which comes first alternates: a drift of the machine hits both.
        let mut rounds = [[0.0; 2]; 2];
        for with in [n % 2, 1 - n % 2] {
            run("kill", &[["-STOP", "-CONT"][with], &process]);
            rounds[with] = database.round();
        }
        let [without, with] = rounds;
        println!("p50, p99 in ms: without {without:.2?}, with {with:.2?}");
        factors.push(with[1] / without[1]);
    }
    run("kill", &["-CONT", &process]);
    let status = harness.status();
    assert!(
        status["lag_bytes"].as_u64() > Some(0),
        "it was not behind all the time: {status:#}"
    );
    harness.kill_agent();
    let factor = median(factors);
    println!("p99 with a catch-up: {factor:.3} of without, the median of {PAIRS} pairs");
    assert!(factor <= FACTOR_MAX, "{factor}");
}
