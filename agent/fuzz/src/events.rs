//! Events in any order: what dockerd, people, the service, the disk and the clock may do. The shell
//! looks after each event whether the core's invariants hold; at the end, what nothing destroyed
//! has arrived, and nothing that nobody wrote.

use std::collections::BTreeSet;
use std::time::Duration;

use agent_core::{BatchId, Event, FileHandle, Outcome, ReadError, SaveId};

use crate::input::Input;
use crate::shell::{CURRENT, Shell};

/// Events of one input.
const STEPS_MAX: usize = 200;

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut world = World {
        shell: Shell::new(1 + input.below(3)),
        written: BTreeSet::new(),
        lossless: true,
        max_file: 1 + input.below(4) as u32,
        compress: input.flag(),
        number: 0,
    };
    world.shell.start();
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    world.finish();
}

struct World {
    shell: Shell,
    written: BTreeSet<(usize, String)>,
    /// Nothing was done that takes bytes away before they can be read.
    lossless: bool,
    max_file: u32,
    compress: bool,
    number: u64,
}

impl World {
    fn step(&mut self, input: &mut Input<'_>) {
        let container = input.below(self.shell.folders.len());
        let removed = self.shell.folders[container].about.removed;
        match input.below(20) {
            0..6 if !removed => self.print(container, input),
            6 | 7 if !removed => self.rotate(container),
            8 | 9 => self.shell.list(container),
            10 | 11 => {
                let time = [1, 200, 3_000, 40_000][input.below(4)];
                self.shell.pass(Duration::from_millis(time));
            }
            12 => self.service(input),
            13 => {
                // Files that have lost their name are gone with the descriptors.
                self.lossless &=
                    self.max_file > 1 && self.shell.folders.iter().all(|f| !f.about.removed);
                self.shell.kill();
                self.shell.start();
            }
            14 => self.shell.saves = input.flag(),
            15 => self.shell.holds = input.flag(),
            16 => self.shell.read_max = [usize::MAX, 40_000][input.below(2)],
            17 => self.stray(input),
            18 if input.below(8) == 0 => self.destroy(container, input),
            _ => self.answer(input),
        }
    }

    fn print(&mut self, container: usize, input: &mut Input<'_>) {
        self.number += 1;
        let stream = ["stdout", "stderr"][input.below(2)];
        let time = format!("2026-11-23T17:00:00.{:09}Z", self.number * 10 + 1);
        let frame = |text: &str| {
            format!("{{\"log\":\"{text}\",\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n")
        };
        let pieces = [1, 1, 1, 1, 2, 5][input.below(6)];
        let len = [1, 30, 4_000, 16_000][input.below(4)];
        let text = format!("{:06}-", self.number).repeat(len / 7 + 1);
        for piece in 1..=pieces {
            let newline = if piece == pieces { "\\n" } else { "" };
            self.shell
                .append(container, frame(&format!("{text}{newline}")).as_bytes());
            if piece < pieces && input.below(4) == 0 {
                self.rotate(container);
            }
        }
        self.written.insert((container, text.repeat(pieces)));
    }

    fn rotate(&mut self, container: usize) {
        if !self.shell.folders[container].names.contains_key(&CURRENT) {
            return;
        }
        // What falls off the end may be unread.
        let oldest = (self.max_file - 1, self.compress && self.max_file > 1);
        self.lossless &= !self.shell.folders[container].names.contains_key(&oldest);
        self.shell.rotate(container, self.max_file, self.compress);
    }

    fn service(&mut self, input: &mut Input<'_>) {
        let unavailable = Outcome::Unavailable { retry_after: None };
        (self.shell.reply, self.shell.takes) = match input.below(7) {
            0 | 1 => (Some(Outcome::Accepted), true),
            2 => (Some(unavailable), false),
            3 => (Some(unavailable), true),
            4 => (Some(Outcome::Refused), false),
            5 => (Some(Outcome::Denied), false),
            _ => (None, true),
        };
    }

    /// An answer that was under way.
    fn answer(&mut self, input: &mut Input<'_>) {
        if self.shell.unanswered.is_empty() {
            return;
        }
        let at = input.below(self.shell.unanswered.len().min(256));
        let (batch, _) = self.shell.unanswered.swap_remove(at);
        let outcome = match input.flag() {
            true => Outcome::Accepted,
            false => Outcome::Unavailable { retry_after: None },
        };
        self.shell.tell(Event::Sent { batch, outcome });
    }

    /// An answer to a question that nobody asked.
    fn stray(&mut self, input: &mut Input<'_>) {
        let number = u64::from(input.byte()) << 20;
        let bytes = input.take(20);
        let event = match input.below(5) {
            0 => Event::Sent {
                batch: BatchId(number),
                outcome: Outcome::Accepted,
            },
            1 => Event::Saved(SaveId(0)),
            2 => Event::ReadFailed {
                handle: FileHandle(number + 1_000),
                error: ReadError::Gone,
            },
            3 => Event::Chunk {
                handle: FileHandle(number + 1_000),
                offset: 3,
                bytes,
                hole_bytes: 0,
                end: true,
                held: true,
                modified: Duration::ZERO,
            },
            _ => Event::SaveFailed(SaveId(0)),
        };
        self.shell.tell(event);
    }

    /// Bytes go.
    fn destroy(&mut self, container: usize, input: &mut Input<'_>) {
        self.lossless = false;
        if !self.shell.folders[container].names.contains_key(&CURRENT) {
            return;
        }
        match input.below(4) {
            0 => self.shell.truncate(container),
            1 => self.shell.remove(container),
            2 => {
                let bytes = input.take(30);
                self.shell.append(container, bytes);
            }
            _ => {
                let key = (1, true);
                if self.shell.folders[container].names.contains_key(&key) {
                    let file = self.shell.file(container, key);
                    file.intact = Some(file.bytes.len() / 2);
                }
            }
        }
    }

    fn finish(mut self) {
        self.shell.reply = Some(Outcome::Accepted);
        (self.shell.takes, self.shell.saves) = (true, true);
        self.shell.read_max = usize::MAX;
        let unavailable = Outcome::Unavailable { retry_after: None };
        for (batch, _) in std::mem::take(&mut self.shell.unanswered) {
            let outcome = unavailable.clone();
            self.shell.tell(Event::Sent { batch, outcome });
        }
        if !self.lossless {
            for _ in 0..10 {
                self.shell.pass(Duration::from_secs(40));
                self.shell.list_all();
            }
            return;
        }
        self.shell.settle();
        for (container, text) in &self.written {
            let lines = self.shell.lines(*container);
            assert!(lines.contains(text), "a line is lost: {:.20}", text);
        }
    }
}
