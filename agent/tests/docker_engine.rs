//! The agent against the machine's own Docker engine: rotation, kills and outages at random
//! moments, and at the end every line that any container printed.

#![allow(clippy::unwrap_used)]

mod harness;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fixtures::burst::Burst;
use fixtures::docker_engine::{ContainerSpec, DockerContainer, DockerEngine, LOG_BURST_IMAGE};
use fixtures::emulator::{Fault, FaultKind};
use fixtures::wait;

use harness::Harness;

/// How long the containers write; more makes a soak of it.
const WRITE_SECONDS: &str = "PLATFORM_AGENT_SOAK_SECONDS";
const WRITE_SECONDS_DEFAULT: u64 = 40;
/// Docker keeps 4 MB of each log besides the current file. At these paces that is what comes in
/// 20 seconds, and no agent is kept from its work for so long: short lines grow threefold in JSON.
const BYTES_PER_SECOND: u64 = 150_000;
const BYTES_PER_SECOND_SHORT: u64 = 60_000;
/// After so long with too few entries it is looked whether the containers are done.
const LULL: Duration = Duration::from_secs(3);

/// One container's line sizes and rotation.
struct Role {
    name: &'static str,
    bytes_min: usize,
    bytes_max: usize,
    compress: bool,
    unterminated: bool,
}

const ROLES: [Role; 5] = [
    Role {
        name: "mixed",
        bytes_min: 1,
        bytes_max: 102_400,
        compress: false,
        unterminated: false,
    },
    Role {
        name: "mixed-gz",
        bytes_min: 1,
        bytes_max: 102_400,
        compress: true,
        unterminated: true,
    },
    Role {
        name: "short",
        bytes_min: 1,
        bytes_max: 200,
        compress: false,
        unterminated: true,
    },
    Role {
        name: "short-gz",
        bytes_min: 1,
        bytes_max: 200,
        compress: true,
        unterminated: false,
    },
    Role {
        name: "long-gz",
        bytes_min: 9_000,
        bytes_max: 40_000,
        compress: true,
        unterminated: false,
    },
];

struct Writer {
    container: DockerContainer,
    burst: Burst,
}

impl Writer {
    fn start(engine: &DockerEngine, run: &str, role: &Role, seed: u64, seconds: u64) -> Self {
        let name = format!("{run}-{}", role.name);
        let short = role.bytes_max < 1_000;
        let mut burst = Burst {
            run: run.to_owned(),
            seed,
            lines: 0,
            bytes_min: role.bytes_min,
            bytes_max: role.bytes_max,
            bytes_per_second: if short {
                BYTES_PER_SECOND_SHORT
            } else {
                BYTES_PER_SECOND
            },
            unterminated: role.unterminated,
        };
        let mut bytes = 0;
        while bytes < burst.bytes_per_second * seconds {
            bytes += burst.line(burst.lines).len() as u64;
            burst.lines += 1;
        }
        let container = engine
            .start(&ContainerSpec {
                name,
                run: run.to_owned(),
                image: LOG_BURST_IMAGE.to_owned(),
                options: [
                    "--network=none",
                    "--log-driver=json-file",
                    "--log-opt=max-size=1m",
                    "--log-opt=max-file=5",
                    &format!("--log-opt=compress={}", role.compress),
                ]
                .map(str::to_owned)
                .to_vec(),
                arguments: burst.arguments(),
            })
            .unwrap();
        Self { container, burst }
    }

    /// Every line it prints, sorted.
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = (0..self.burst.lines)
            .map(|sequence| self.burst.line(sequence))
            .collect();
        lines.sort_unstable();
        lines
    }

    /// How often its log was rotated can be seen from what is left of it.
    fn assert_rotated(&self, containers_dir: &Path, compress: bool) {
        let ending = if compress {
            "-json.log.4.gz"
        } else {
            "-json.log.4"
        };
        let path = containers_dir.join(self.container.id());
        let names: Vec<String> = fs::read_dir(&path)
            .unwrap()
            .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert!(
            names.iter().any(|name| name.ends_with(ending)),
            "{path:?}: {names:?}"
        );
    }
}

/// Not yet part of `make test`: a line longer than one piece sometimes arrives as two when the
/// agent is killed around a rotation. `make soak` runs it.
#[test]
#[ignore = "finds broken joins that are not mended yet; make soak runs it"]
fn every_line_arrives_through_rotation_kills_and_outages() {
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let seconds =
        std::env::var(WRITE_SECONDS).map_or(WRITE_SECONDS_DEFAULT, |text| text.parse().unwrap());
    let engine = DockerEngine::connect().unwrap();
    let run = format!("e2e-{:08x}", seed as u32);
    let mut harness = Harness::new(engine.containers_dir(), &[&format!("{run}-*")]);
    harness.start_agent();
    let writers: Vec<Writer> = ROLES
        .iter()
        .zip(1..)
        .map(|(role, number)| Writer::start(&engine, &run, role, seed ^ number, seconds))
        .collect();

    let mut chaos = Chaos {
        random: fastrand::Rng::with_seed(seed),
        kills: 0,
        faults: 0,
    };
    while writers
        .iter()
        .any(|writer| writer.container.is_running().unwrap())
    {
        chaos.act(&mut harness);
    }
    println!("{} kills, {} kinds of outage", chaos.kills, chaos.faults);
    assert!(
        chaos.kills > 2 && chaos.faults > 2,
        "it was too quiet to prove anything"
    );

    harness.emulator().clear_faults();
    for (writer, role) in writers.iter().zip(&ROLES) {
        writer.assert_rotated(engine.containers_dir(), role.compress);
        harness.assert_arrived(writer.container.name(), &writer.lines());
    }
    harness.terminate_agent();
    harness.assert_nothing_was_cut_or_dropped();
}

/// Kills and outages.
struct Chaos {
    random: fastrand::Rng,
    kills: u32,
    faults: u32,
}

impl Chaos {
    /// Lets some entries arrive, then does one bad thing. While nothing comes, because the last
    /// bad thing is not over or the containers are done, it does nothing.
    fn act(&mut self, harness: &mut Harness) {
        let entries = self.random.u64(1..2_000);
        let target = harness.entries() + entries;
        let came = wait::until("more entries", LULL, || {
            harness.take_in();
            Ok((harness.entries() >= target).then_some(()))
        });
        if came.is_err() {
            return;
        }
        if self.random.bool() {
            harness.kill_agent();
            harness.start_agent();
            self.kills += 1;
        } else {
            harness.add_fault(self.fault());
            self.faults += 1;
        }
    }

    fn fault(&mut self) -> Fault {
        let kinds = [
            FaultKind::Status(401),
            FaultKind::Status(404),
            FaultKind::Hang,
            FaultKind::Status(429),
            FaultKind::Status(500),
            FaultKind::Status(503),
            FaultKind::Slow,
            FaultKind::DropReply,
            FaultKind::Reset,
        ];
        let index = self.random.usize(..kinds.len());
        // After 401 and 404, and after a timeout, the agent takes its time.
        let count = if index < 3 { 1 } else { self.random.u64(1..4) };
        Fault::times(kinds[index], count)
    }
}
