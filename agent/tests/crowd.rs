//! Very many containers and very few descriptors. `PLATFORM_AGENT_CONTAINERS=10000`, in release, is
//! what docs/performance.md tells of.

#![allow(clippy::unwrap_used)]
// How many, comes from the environment.
#![allow(clippy::disallowed_methods)]

mod harness;

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use fixtures::docker_log::{DockerLog, Rotation};
use fixtures::emulator::Options;
use fixtures::wait;

use harness::Harness;

const LINES_EACH: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(300);
/// Memory for each container, which `memory.budget` does not count: its state, what watches it, and
/// what the status and the checkpoint take of it while they are made.
const BYTES_EACH_MAX: u64 = 16 * 1024;
/// `memory.budget` by default; the program as it is built for tests is larger.
const BUDGET: u64 = (32 + if cfg!(debug_assertions) { 8 } else { 0 }) << 20;
/// Ticks of /proc/PID/stat in a second: `getconf CLK_TCK` on Linux.
const TICKS: f64 = 100.0;

fn number(name: &str, usual: u64) -> u64 {
    let value = std::env::var(name).ok().map(|text| text.parse().unwrap());
    value.unwrap_or(usual)
}

/// A number of the agent's /proc/PID/status, KiB, as bytes.
fn memory(harness: &Harness, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", harness.agent_id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

/// CPU seconds that the agent has taken.
fn cpu(harness: &Harness) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", harness.agent_id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // utime and stime, the 14th and 15th of proc(5).
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|it| it.parse::<u64>().unwrap())
        .sum();
    ticks as f64 / TICKS
}

#[test]
fn t31_very_many_containers_are_followed_with_64_descriptors_within_bounded_memory() {
    let count = number("PLATFORM_AGENT_CONTAINERS", 1_000);
    let quiet = Duration::from_secs(number("PLATFORM_AGENT_QUIET_SECONDS", 0));
    let containers = tempfile::tempdir().unwrap();
    let options = Options {
        keep: 0,
        ..Options::default()
    };
    let mut harness = Harness::over(containers.path(), &["*"], options);
    let ids: Vec<String> = (0..count)
        .map(|n| {
            let name = format!("c{n}");
            let mut log = DockerLog::create(containers.path(), &name, Rotation::NONE).unwrap();
            (0..LINES_EACH).for_each(|line| log.say(&format!("line {line}")).unwrap());
            log.id().to_owned()
        })
        .collect();
    let started = Instant::now();
    harness.start_agent_through(&["prlimit", "--nofile=64:64", "--"]);
    let arrived = |harness: &Harness, entries: u64| {
        wait::until("entries", PATIENCE, || {
            let there = harness.emulator().summary().entries;
            Ok((there >= entries).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}\n{}", harness.agent_log()));
        started.elapsed().as_secs_f64()
    };
    let first = arrived(&harness, 1);
    let all = arrived(&harness, count * LINES_EACH);
    let ready = |status: &serde_json::Value| status["ready"] == true;
    harness.wait_for_status("ready", ready);
    let busy = cpu(&harness);
    println!(
        "{count} containers: first line after {first:.2} s, all after {all:.2} s and {busy:.2} CPU s"
    );
    if !quiet.is_zero() {
        std::thread::sleep(quiet);
        let share = (cpu(&harness) - busy) / quiet.as_secs_f64() * 100.0;
        println!("quiet: {share:.2} % of a core over {quiet:?}");
    }
    // They are still looked at, whoever writes.
    let few: Vec<&String> = ids.iter().step_by(ids.len() / 10).collect();
    for id in &few {
        let folder = containers.path().join(id);
        let path = folder.join(format!("{id}-json.log"));
        let text = fs::read(&path).unwrap();
        let line = text.split_inclusive(|&byte| byte == b'\n').next().unwrap();
        let mut log = fs::File::options().append(true).open(&path).unwrap();
        log.write_all(line).unwrap();
    }
    arrived(&harness, count * LINES_EACH + few.len() as u64);
    assert_eq!(
        harness.emulator().summary().entries,
        count * LINES_EACH + few.len() as u64
    );
    assert!(harness.descriptors("") <= 64);
    let (now, peak) = (memory(&harness, "VmRSS:"), memory(&harness, "VmHWM:"));
    println!("memory: {} KiB, at most {} KiB", now / 1024, peak / 1024);
    assert!(
        peak <= BUDGET + count * BYTES_EACH_MAX,
        "{peak} bytes resident"
    );
    assert_eq!(harness.status()["losses"], serde_json::json!([]));
    harness.terminate_agent();
}
