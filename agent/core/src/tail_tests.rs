#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::checkpoint::{ContainerState, GenerationState};
use crate::entry::GenerationId;
use crate::event::ContainerId;

#[path = "tail_tests/damage.rs"]
mod damage;
#[path = "tail_tests/piece.rs"]
mod piece;
#[path = "tail_tests/resume.rs"]
mod resume;
use crate::writer;

const CONTAINER: ContainerId = ContainerId([5; 32]);
/// Length of the ids of whole lines; those of parts are longer.
const WHOLE_ID: usize = 30;
/// The least room a body may be given.
const BATCH_BYTES: usize = crate::limits::BATCH_BYTES_MIN;

/// One entry as OCI would see it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arrived {
    data: String,
    id: String,
    time: String,
    stream: String,
}

/// Base 32 digits of an id.
fn number(digits: &str) -> u64 {
    u64::from_str_radix(digits, 32).unwrap()
}

impl Arrived {
    /// Generation, and offset in it.
    fn place(&self) -> (u64, u64) {
        (number(&self.id[10..22]), number(&self.id[22..30]))
    }

    /// Start and length of a part, and whether it is the last.
    fn part(&self) -> Option<(u64, u64, bool)> {
        (self.id.len() > WHOLE_ID).then(|| {
            let len = number(&self.id[37..]);
            (number(&self.id[30..37]), len & 0x3fff, len >> 14 == 1)
        })
    }
}

/// The log of a container whose `generations` are there and unread.
fn new_tail(generations: u64) -> Tail {
    let generation = |n| GenerationState {
        id: GenerationId(n),
        head_offset: 0,
        head_len: 100,
        head_hash: n,
        head_complete: true,
        last: None,
        witness: None,
        start_time: String::new(),
        last_time: String::new(),
        twin: 0,
        committed: [0; 2],
        size: 0,
        closed: false,
        finished: false,
        sealed: false,
        evidence: None,
        born: 0,
        follows: false,
    };
    let state = ContainerState {
        id: CONTAINER.to_string(),
        name: "web".to_owned(),
        old: false,
        last_time: String::new(),
        groups: [None, None],
        generations: (1..=generations).map(generation).collect(),
    };
    state.restore(CONTAINER, 1)
}

/// A tail, and what a pipeline would give it.
struct Bench {
    tail: Tail,
    batch: Batch,
    bodies: Vec<Vec<u8>>,
    stats: Stats,
    now: Duration,
    part_marks: bool,
    retention_cutoff: &'static str,
    start_cutoff: &'static str,
}

impl Bench {
    fn new(tail: Tail) -> Self {
        let mut bench = Self {
            tail,
            batch: Batch::new(Vec::new()),
            bodies: Vec::new(),
            stats: Stats::default(),
            now: Duration::ZERO,
            part_marks: false,
            retention_cutoff: "",
            start_cutoff: "",
        };
        bench.tail.label("host", "docker");
        bench
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Tail, &mut Sink<'_>) -> T) -> T {
        let mut sink = Sink {
            batch: &mut self.batch,
            batch_bytes_max: BATCH_BYTES,
            style: Style {
                nanoseconds: true,
                part_marks: self.part_marks,
            },
            retention_cutoff: self.retention_cutoff,
            start_cutoff: self.start_cutoff,
            now: self.now,
            wall: Duration::from_secs(1_795_455_511),
            stats: &mut self.stats,
        };
        act(&mut self.tail, &mut sink)
    }

    fn seal(&mut self) {
        if self.batch.entries() > 0 {
            let full = std::mem::replace(&mut self.batch, Batch::new(Vec::new()));
            self.bodies.push(full.seal());
        }
    }

    /// Gives a chunk at the read offset; how many of its bytes were dealt with.
    fn chunk(&mut self, key: u64, bytes: &[u8], end: bool) -> usize {
        let mut done = 0;
        loop {
            let consumed = self.with(|tail, sink| tail.consume(key, &bytes[done..], end, sink));
            done += consumed.bytes;
            if !consumed.full {
                return done;
            }
            self.seal();
        }
    }

    /// Gives a whole file from the read offset on, in chunks as the shell reads them.
    fn file(&mut self, key: u64, file: &[u8], end: bool) {
        loop {
            let read = self.tail.chain.get(key).unwrap().read as usize;
            let chunk = &file[read..file.len().min(read + crate::limits::CHUNK_BYTES)];
            let to_end = read + chunk.len() == file.len();
            let done = self.chunk(key, chunk, end && to_end);
            if to_end || done == 0 {
                break;
            }
        }
        if end {
            let generation = self.tail.chain.get_mut(key).unwrap();
            assert_eq!(
                generation.read,
                file.len() as u64,
                "a finished file is read to its end"
            );
            generation.finished = true;
        }
    }

    fn give_up(&mut self, last: bool) {
        while !self.with(|tail, sink| tail.give_up(Duration::ZERO, last, sink)) {
            self.seal();
        }
    }

    /// All entries so far, in the order in which they were written.
    fn arrived(&mut self) -> Vec<Arrived> {
        self.seal();
        self.bodies.iter().flat_map(|body| entries(body)).collect()
    }

    /// Texts of all lines so far, those in parts put together, in the order of their ids.
    fn lines(&mut self) -> Vec<(String, String)> {
        lines(&self.arrived())
    }
}

/// The entries of one body, which must keep to its cap and to what OCI takes.
fn entries(body: &[u8]) -> Vec<Arrived> {
    let read: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(read["specversion"], "1.0");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut arrived = Vec::new();
    for segment in read["logEntryBatches"].as_array().unwrap() {
        assert_eq!(
            (&segment["source"], &segment["subject"]),
            (&"host".into(), &"web".into())
        );
        for entry in segment["entries"].as_array().unwrap() {
            assert!(text(&entry["data"]).len() <= DATA_BYTES_MAX);
            arrived.push(Arrived {
                data: text(&entry["data"]),
                id: text(&entry["id"]),
                time: text(&entry["time"]),
                stream: text(&segment["type"]).replace("docker.", ""),
            });
        }
    }
    arrived
}

/// Stream and text of each line, parts put together; in the order of their ids.
fn lines(arrived: &[Arrived]) -> Vec<(String, String)> {
    let mut by_id = BTreeMap::new();
    for entry in arrived {
        let before = by_id.insert(&entry.id, entry);
        assert!(
            before.is_none_or(|before| before == entry),
            "one id, two contents: {entry:?}"
        );
    }
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut open: Option<(&Arrived, u64)> = None;
    for entry in by_id.into_values() {
        let Some((start, len, last)) = entry.part() else {
            lines.push((entry.stream.clone(), entry.data.clone()));
            continue;
        };
        assert_eq!(len, entry.data.len() as u64);
        match open.filter(|(first, _)| first.place() == entry.place()) {
            Some((first, next)) => {
                assert_eq!(
                    (start, &entry.time),
                    (next, &first.time),
                    "parts do not follow"
                );
                lines.last_mut().unwrap().1.push_str(&entry.data);
            }
            None => {
                assert_eq!(start, 0, "a line without its start: {entry:?}");
                lines.push((entry.stream.clone(), entry.data.clone()));
            }
        }
        open = (!last).then_some((entry, start + len));
    }
    lines
}

/// Expected lines, all of one stream.
fn all(stream: &str, texts: &[&str]) -> Vec<(String, String)> {
    texts
        .iter()
        .map(|text| (stream.to_owned(), (*text).to_owned()))
        .collect()
}
