//! What was written, what arrived, and whether the one explains the other.
//!
//! Texts are made of tokens of 8 bytes that name their line and their place in it, so that every
//! entry tells where it comes from, however it was joined, cut or replayed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::ledger::{Ledger, Truth};

/// Token `index` of line `line`.
pub fn token(line: u64, index: u64) -> [u8; 8] {
    let digit =
        |number: u64, place: u32| b"0123456789abcdef"[(number >> (4 * place)) as usize & 15];
    let (l, i) = (|place| digit(line, place), |place| digit(index, place));
    [l(3), l(2), l(1), l(0), i(2), i(1), i(0), b'.']
}

#[derive(Debug)]
struct Written {
    container: u64,
    stream: &'static str,
    /// All its tokens are the same one: its pieces cannot be told apart.
    uniform: bool,
    /// Inode generation (a number never reused) of each token.
    homes: Vec<u64>,
}

#[derive(Debug, Default)]
pub struct Oracle {
    lines: BTreeMap<u64, Written>,
    arrived: BTreeMap<u64, BTreeSet<u64>>,
    entries: BTreeMap<String, (String, String, String)>,
    whole: BTreeMap<u64, String>,
    /// Files (numbers never reused) whose bytes went before all of them were read.
    vanished: BTreeSet<u64>,
    /// Files that begin with a piece of a line. Where nothing else proves which generation such a
    /// file is, it is taken for new, and its lines are repeated under other ids.
    ambiguous: BTreeSet<u64>,
    starts: BTreeMap<u64, BTreeSet<String>>,
    /// Tokens that the spool has, and that arrive whatever becomes of their files.
    promised: BTreeMap<u64, BTreeSet<u64>>,
    pub torn: bool,
    pub ledger: Ledger,
    /// The service refused everything for a while: nothing tells which entry it meant.
    pub refuses_all: bool,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "logEntryBatches")]
    batches: Vec<Segment<'a>>,
}

#[derive(Deserialize)]
struct Segment<'a> {
    #[serde(borrow)]
    entries: Vec<Entry<'a>>,
    #[serde(rename = "type")]
    kind: &'a str,
    subject: &'a str,
}

#[derive(Deserialize)]
struct Entry<'a> {
    data: std::borrow::Cow<'a, str>,
    id: &'a str,
    time: &'a str,
}

impl Oracle {
    pub fn wrote(&mut self, line: u64, container: u64, stream: &'static str, uniform: bool) {
        self.lines.insert(
            line,
            Written {
                container,
                stream,
                uniform,
                homes: Vec::new(),
            },
        );
    }

    /// The next `tokens` tokens of `line` stand in file `home`.
    pub fn placed(&mut self, line: u64, tokens: u64, home: u64) {
        let written = self.lines.get_mut(&line).expect("a line that was written");
        written.homes.extend((0..tokens).map(|_| home));
    }

    pub fn vanished(&mut self, home: u64) {
        self.vanished.insert(home);
    }

    pub fn ambiguous(&mut self, home: u64) {
        self.ambiguous.insert(home);
    }

    /// The service refuses bodies with an entry like one of this: a line in sixteen.
    pub fn is_poison(body: &[u8]) -> bool {
        let body: Body<'_> = serde_json::from_slice(body).expect("a body that is JSON");
        let mut entries = body.batches.iter().flat_map(|segment| &segment.entries);
        entries.any(|entry| parse(&entry.data).is_some_and(|(line, _)| line % 16 == 5))
    }

    /// A body went to the quarantine.
    pub fn quarantine(&mut self, body: &[u8]) {
        let excused = self.refuses_all || Self::is_poison(body);
        assert!(excused, "a good entry is in quarantine");
        let parsed: Body<'_> = serde_json::from_slice(body).expect("a body that is JSON");
        let entries: usize = parsed.batches.iter().map(|s| s.entries.len()).sum();
        assert_eq!(entries, 1, "more than one entry at once");
        self.accept(body);
    }

    /// A body is in the spool.
    pub fn promise(&mut self, body: &[u8]) {
        let body: Body<'_> = serde_json::from_slice(body).expect("a body that is JSON");
        for entry in body.batches.iter().flat_map(|segment| &segment.entries) {
            if let Some((line, first)) = parse(&entry.data) {
                let tokens = first..first + entry.data.len() as u64 / 8;
                self.promised.entry(line).or_default().extend(tokens);
            }
        }
    }

    /// The service accepted a body.
    pub fn accept(&mut self, body: &[u8]) {
        let body: Body<'_> = serde_json::from_slice(body).expect("a body that is JSON");
        for segment in &body.batches {
            assert!(!segment.entries.is_empty(), "an empty LogEntryBatch");
            for entry in &segment.entries {
                self.entry(segment, entry);
            }
        }
    }

    fn entry(&mut self, segment: &Segment<'_>, entry: &Entry<'_>) {
        assert!(entry.data.len() <= 10_000, "data that OCI would cut");
        assert!(entry.id.len() <= 40);
        let known = (
            entry.data.to_string(),
            entry.time.to_owned(),
            segment.kind.to_owned(),
        );
        if let Some(before) = self.entries.insert(entry.id.to_owned(), known.clone()) {
            assert_eq!(before, known, "id {} with two contents", entry.id);
        }
        if segment.kind.ends_with(".gap") {
            let container = segment.subject[1..].parse().expect("a container");
            return self.ledger.marked(container, entry.id);
        }
        if segment.kind.ends_with(".proof") {
            return;
        }
        let Some((line, first)) = parse(&entry.data) else {
            assert!(self.torn, "an entry that nobody wrote: {}", entry.data);
            return;
        };
        let written = self
            .lines
            .get(&line)
            .expect("an entry of a line that was written");
        if self.torn && segment.kind.ends_with(".stdout") && written.stream != "stdout" {
            // A later part of a long line that a crash tore: it is no Docker line, but text.
            return;
        }
        assert!(
            segment.kind.ends_with(written.stream),
            "line {line:x} on the wrong stream"
        );
        assert_eq!(segment.subject, format!("c{}", written.container));
        if entry.data.contains('"') {
            // The second part of a long line that a crash tore begins like a line, and ends with
            // Docker's frame: it is shipped as it stands.
            assert!(self.torn, "a frame in line {line:x}: {}", entry.data);
            return;
        }
        let tokens = entry.data.len() as u64 / 8;
        if written.uniform {
            // Its pieces are all alike: only ids with two contents can be seen.
            return;
        }
        for (n, chunk) in entry.data.as_bytes().chunks(8).enumerate() {
            assert_eq!(
                chunk,
                token(line, first + n as u64),
                "line {line:x} is mixed up"
            );
        }
        if first + tokens > written.homes.len() as u64 {
            // The rest of half a line that a crash left, shipped as text.
            assert!(self.torn, "more of line {line:x} than was written");
            return;
        }
        self.starts
            .entry(line)
            .or_default()
            .insert(entry.id[..30].to_owned());
        self.arrived
            .entry(line)
            .or_default()
            .extend(first..first + tokens);
        let in_doubt = |home: &u64| self.ambiguous.contains(home);
        if entry.id.len() == 30
            && !written.homes.iter().any(in_doubt)
            && let Some(other) = self.whole.insert(line, entry.id.to_owned())
        {
            assert_eq!(other, entry.id, "line {line:x} arrived under two ids");
        }
    }

    /// Everything written has arrived, but for bytes in files that vanished.
    pub fn check(&self) -> Summary {
        let mut summary = Summary::default();
        let nothing = BTreeSet::new();
        for (line, starts) in self.starts.iter().filter(|(_, starts)| starts.len() > 1) {
            let written = &self.lines[line];
            let gone = |home: &u64| self.vanished.contains(home);
            let homes: BTreeSet<&u64> = written.homes.iter().collect();
            if homes.len() > 1 && !written.homes.iter().any(gone) && !self.torn && !self.refuses_all
            {
                summary.splits += 1;
                println!(
                    "line {line:x} of c{} is split: {starts:?} homes {:?}",
                    written.container,
                    written.homes.iter().collect::<BTreeSet<_>>()
                );
                assert!(
                    std::env::var_os("SIM_SPLIT").is_none(),
                    "line {line:x} of container {} is split",
                    written.container
                );
            }
        }
        for (line, written) in self.lines.iter().filter(|(_, written)| !written.uniform) {
            let arrived = self.arrived.get(line).unwrap_or(&nothing);
            for (index, home) in written.homes.iter().enumerate() {
                summary.tokens += 1;
                if arrived.contains(&(index as u64)) {
                    continue;
                }
                summary.lost += 1;
                let promised = self.promised.get(line);
                assert!(
                    !promised.is_some_and(|tokens| tokens.contains(&(index as u64))),
                    "token {index} of line {line:x} was spooled, and is lost"
                );
                assert!(
                    self.vanished.contains(home),
                    "token {index} of line {line:x} of container {} (file {home}) is lost",
                    written.container
                );
            }
        }
        summary
    }

    /// The ledger says what is missing, and nothing else: what is not so; how many losses it has,
    /// and of how many everything arrived.
    pub fn check_ledger(
        &self,
        marks: bool,
        container_of: &dyn Fn(&str) -> u64,
    ) -> (Vec<String>, (u64, u64)) {
        let arrived = |line: u64, first: u64, tokens: u64| {
            let there = self.arrived.get(&line);
            (first..first + tokens)
                .filter(|token| there.is_some_and(|there| there.contains(token)))
                .count() as u64
        };
        let sure = |home, line: u64| {
            !self.torn && !self.ambiguous.contains(&home) && !self.lines[&line].uniform
        };
        let truth = Truth {
            torn: self.torn,
            marks,
            container_of,
            is_missing: &|home, line, first, tokens| {
                sure(home, line) && arrived(line, first, tokens) < tokens
            },
            is_there: &|home, line, first, tokens| {
                sure(home, line) && arrived(line, first, tokens) > 0
            },
        };
        (self.ledger.check(&truth), self.ledger.told_in_vain(&truth))
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub tokens: u64,
    pub lost: u64,
    pub splits: u64,
}

fn parse(data: &str) -> Option<(u64, u64)> {
    let first = data.get(..8)?;
    let hex = first.strip_suffix('.')?;
    if !data.len().is_multiple_of(8) {
        return None;
    }
    Some((
        u64::from_str_radix(&hex[..4], 16).ok()?,
        u64::from_str_radix(&hex[4..], 16).ok()?,
    ))
}
