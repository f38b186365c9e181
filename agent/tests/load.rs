//! Much to read: backlogs, one line that does not end, a noisy container among quiet ones,
//! thousands of folders. `make soak` runs these larger.

#![allow(clippy::unwrap_used)]
// How large, comes from the environment.
#![allow(clippy::disallowed_methods)]

mod harness;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use fixtures::docker_log::{DockerLog, Rotation, Stream};
use fixtures::emulator::{Fault, FaultKind, Options, Query};
use fixtures::wait;
use flate2::Compression;
use flate2::write::GzEncoder;

use harness::Harness;

const MIB: u64 = 1 << 20;
/// When nothing more has come for so long, nothing will.
const QUIET_MAX: Duration = Duration::from_secs(60);
/// `memory.budget` as it is by default. The program as it is built for tests is larger.
const RESIDENT_MAX: u64 = 32 * MIB + if cfg!(debug_assertions) { 8 * MIB } else { 0 };
/// Text of each line of a backlog.
const TEXT: &str =
    "a line of the backlog: nothing is special about it, and there are many more like it";

/// `name`, or as much as a test can do in seconds; MiB.
fn mebibytes(name: &str, usual: u64) -> u64 {
    let value = std::env::var(name).ok().map(|text| text.parse().unwrap());
    value.unwrap_or(usual) * MIB
}

/// What the service keeps is counted and not held.
fn counting() -> Options {
    Options {
        keep: 0,
        ..Options::default()
    }
}

/// The most memory that the agent ever had resident, bytes.
fn resident_peak(harness: &Harness) -> u64 {
    let path = format!("/proc/{}/status", harness.agent_id());
    let status = fs::read_to_string(path).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse::<u64>().unwrap() * 1024
}

/// Waits until so many bytes of text have been accepted, and not one more.
fn wait_for_data(harness: &Harness, bytes: u64) {
    let mut newest = (Instant::now(), 0);
    loop {
        let there = harness.emulator().summary().data_bytes;
        if there >= bytes {
            return assert_eq!(there, bytes);
        }
        if there > newest.1 {
            newest = (Instant::now(), there);
        }
        assert!(
            newest.0.elapsed() < QUIET_MAX,
            "{there} of {bytes} bytes\n{}",
            harness.agent_log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A time that no retention has passed.
fn now() -> String {
    humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()
}

/// Writes at least so many bytes of lines; how many bytes of text are in them.
fn fill(out: &mut impl Write, bytes: u64, first: &str) -> u64 {
    let time = now();
    let line = |text: &str| {
        format!("{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"{time}\"}}\n")
    };
    out.write_all(line(first).as_bytes()).unwrap();
    let block = line(TEXT).repeat(1_000);
    let blocks = bytes.div_ceil(block.len() as u64);
    for _ in 0..blocks {
        out.write_all(block.as_bytes()).unwrap();
    }
    first.len() as u64 + blocks * 1_000 * TEXT.len() as u64
}

#[test]
fn t63_a_backlog_plain_and_compressed_is_read_within_the_memory_budget() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::over(containers.path(), &["*"], counting());
    let log = DockerLog::create(containers.path(), "web", Rotation::NONE).unwrap();
    let compressed = format!("{}.1.gz", log.path().display());
    let mut gz = GzEncoder::new(File::create(compressed).unwrap(), Compression::fast());
    let size = mebibytes("PLATFORM_AGENT_BACKLOG_MIB", 96);
    let mut text = fill(&mut gz, size, "the older file");
    gz.finish().unwrap();
    let mut plain = BufWriter::new(File::create(log.path()).unwrap());
    text += fill(&mut plain, 96 * MIB, "the newer file");
    plain.flush().unwrap();
    harness.start_agent();
    wait_for_data(&harness, text);
    let peak = resident_peak(&harness);
    println!(
        "{} MiB of lines: {} KiB resident at most",
        text / MIB,
        peak / 1024
    );
    assert!(peak <= RESIDENT_MAX, "{peak} bytes resident");
    harness.terminate_agent();
}

/// Bytes that the agent has read, of files and sockets.
fn bytes_read(harness: &Harness) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", harness.agent_id())).unwrap();
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    read.unwrap().parse().unwrap()
}

#[test]
fn many_compressed_logs_at_once_are_each_decompressed_once() {
    const CONTAINERS: u64 = 24;
    const LINES: u64 = 20_000;
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::over(containers.path(), &["*"], counting());
    let time = now();
    let (mut text, mut compressed) = (0, 0);
    for n in 0..CONTAINERS {
        let log = DockerLog::create(containers.path(), &format!("web{n}"), Rotation::NONE).unwrap();
        let path = format!("{}.1.gz", log.path().display());
        let mut gz = GzEncoder::new(File::create(&path).unwrap(), Compression::fast());
        for line in 0..LINES {
            // Compresses badly, so that a second pass would be seen.
            let word = (n * LINES + line + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let [first, second] = [word, word.wrapping_mul(word | 1)];
            writeln!(
                gz,
                r#"{{"log":"{first:016x}{second:016x}\n","stream":"stdout","time":"{time}"}}"#
            )
            .unwrap();
        }
        gz.finish().unwrap();
        text += LINES * 32;
        compressed += fs::metadata(path).unwrap().len();
    }
    harness.start_agent();
    wait_for_data(&harness, text);
    let read = bytes_read(&harness);
    println!("{read} bytes read of {compressed}");
    // Each start is read once more to identify it, and some are begun twice.
    assert!(read < 3 * compressed, "{read} bytes read of {compressed}");
    harness.terminate_agent();
}

#[test]
fn t38_t63_a_line_that_does_not_end_is_shipped_in_parts_within_the_memory_budget() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::over(containers.path(), &["*"], counting());
    let mut log = DockerLog::create(containers.path(), "web", Rotation::NONE).unwrap();
    let size = mebibytes("PLATFORM_AGENT_LINE_MIB", 64);
    let piece = format!(
        "{{\"log\":\"{}\",\"stream\":\"stdout\",\"time\":\"{}\"}}\n",
        "x".repeat(16 * 1024),
        now()
    );
    let block = piece.repeat(64).into_bytes();
    for _ in 0..size / MIB {
        log.write_raw(&block).unwrap();
    }
    log.write(Stream::Out, b"the end", true).unwrap();
    harness.start_agent();
    wait_for_data(&harness, size + "the end".len() as u64);
    let peak = resident_peak(&harness);
    println!(
        "a line of {} MiB: {} KiB resident at most",
        size / MIB,
        peak / 1024
    );
    assert!(peak <= RESIDENT_MAX, "{peak} bytes resident");
    harness.terminate_agent();
}

/// How much of the noisy container's text is accepted between a quiet line's writing and its
/// arrival: without a way of its own it would wait behind a whole memory budget.
#[test]
fn t64_a_quiet_line_does_not_wait_behind_the_memory_full_of_a_noisy_one() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    // The service takes one body of the noisy one a second.
    harness.set("batch", "max_bytes", "\"256KiB\"");
    harness.set("send", "max_in_flight", "2");
    harness.add_fault(Fault {
        delay_seconds: Some(1.0),
        ..Fault::new(FaultKind::Slow)
    });
    let noisy = DockerLog::create(containers.path(), "noisy", Rotation::NONE).unwrap();
    let mut quiet = DockerLog::create(containers.path(), "quiet", Rotation::NONE).unwrap();
    let mut file = BufWriter::new(File::create(noisy.path()).unwrap());
    fill(&mut file, 96 * MIB, "the first");
    file.flush().unwrap();
    harness.start_agent();
    let accepted = |harness: &Harness| harness.emulator().summary().entries;
    wait::until("the memory to be full", QUIET_MAX, || {
        let is_full = harness.status()["memory_bytes"].as_u64() > Some(16 * MIB);
        Ok((is_full && accepted(&harness) > 0).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}\n{:#}", harness.status()));
    for n in 0..5 {
        let before = accepted(&harness);
        quiet.say(&format!("quiet {n}")).unwrap();
        let arrived = wait::until("the quiet line", QUIET_MAX, || {
            let query = Query {
                subject: Some("quiet".to_owned()),
                ..Query::default()
            };
            Ok(harness.emulator().entries(&query).get(n).cloned())
        });
        let overtaken = (arrived.unwrap().seq - before) * TEXT.len() as u64;
        println!(
            "quiet {n}: {} KiB of the noisy one meanwhile",
            overtaken / 1024
        );
        assert!(overtaken < 4 * MIB, "{overtaken} bytes");
    }
    assert!(harness.status()["lag_bytes"].as_u64() > Some(16 * MIB));
    harness.emulator().clear_faults();
    harness.kill_agent();
}

/// The description of the last container is a pipe that nobody writes into: looking at it never
/// ends.
#[test]
fn t31_the_first_line_does_not_wait_until_the_last_folder_was_looked_into() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    harness.set("batch", "max_age", "\"0s\"");
    for n in 0..500 {
        let name = format!("c{n}");
        let mut log = DockerLog::create(containers.path(), &name, Rotation::NONE).unwrap();
        log.say("one line").unwrap();
    }
    let last = containers.path().join("f".repeat(64));
    fs::create_dir(&last).unwrap();
    let pipe = last.join("config.v2.json");
    let made = Command::new("mkfifo").arg(pipe).status().unwrap();
    assert!(made.success());
    harness.start_agent();
    wait::until("the first line", QUIET_MAX, || {
        Ok((harness.emulator().summary().entries > 0).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", harness.agent_log()));
    harness.kill_agent();
}
