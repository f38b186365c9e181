//! The loss ledger: what was lost for good, kept over restarts, in bounded space.
//!
//! Format, version 1: JSON lines. Each line is one object whose last field is `"crc":"<8 hex>"`,
//! the CRC-32 of all bytes of the line in front of `,"crc"`; its first is `"v":1`. A line whose
//! checksum is wrong, such as a torn last one, is passed over and counted. `"kind":"loss"` is a
//! [`Record`], oldest first; `"kind":"total"` is a [`Total`], into which the oldest records are
//! folded beyond [`RECORDS_MAX`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::loss::{Bound, Loss, LossReason};

/// The version written, and the only one read.
pub const VERSION: u32 = 1;
/// Losses that are kept one by one.
pub const RECORDS_MAX: usize = 500;
/// Totals of containers that are kept apart; beyond that they are those of all containers.
pub const TOTALS_MAX: usize = 500;
/// Longest name that is kept of a container.
const NAME_CHARS_MAX: usize = 128;
/// The reason of an entry that the operator dropped from the quarantine.
pub const DROPPED: &str = "quarantine_dropped";
/// A reason that this release does not know.
const OTHER: &str = "other";
/// All reasons there are in a ledger.
pub const REASONS: [&str; 9] = [
    LossReason::ALL[0].as_str(),
    LossReason::ALL[1].as_str(),
    LossReason::ALL[2].as_str(),
    LossReason::ALL[3].as_str(),
    LossReason::ALL[4].as_str(),
    LossReason::ALL[5].as_str(),
    LossReason::ALL[6].as_str(),
    DROPPED,
    OTHER,
];

const CRC: &str = ",\"crc\":\"";
const CRC_LEN: usize = CRC.len() + 8 + "\"}".len();

/// One loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// 64 hex digits; empty where only the name is known.
    pub container: String,
    /// Its name when it was told.
    pub name: String,
    /// As in entry ids.
    pub generation: String,
    /// First byte lost.
    pub from: u64,
    /// One past the last byte known to have been there.
    pub to: Option<u64>,
    /// `exact`, `at_least`, `at_most` or `about`: see [`Bound`].
    pub bound: String,
    /// See [`LossReason::as_str`], and [`DROPPED`].
    pub reason: String,
    /// When it was told, RFC 3339 in UTC.
    pub told_at: String,
    /// Time of the last line shipped before it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_time: String,
    /// Time of the first line lost.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first_lost_time: String,
    /// Time of the first line that survived behind it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub next_time: String,
}

impl Record {
    /// A loss told at `told_at`.
    pub fn new(loss: &Loss, told_at: &str) -> Self {
        Self {
            container: loss.container.to_string(),
            name: loss.name.chars().take(NAME_CHARS_MAX).collect(),
            generation: loss.generation.to_string(),
            from: loss.from,
            to: loss.to,
            bound: loss.bound.as_str().to_owned(),
            reason: loss.reason.as_str().to_owned(),
            told_at: told_at.to_owned(),
            last_time: loss.last_time.clone(),
            first_lost_time: loss.first_lost_time.clone(),
            next_time: loss.next_time.clone(),
        }
    }

    /// Bytes known to be lost.
    pub fn bytes(&self) -> u64 {
        self.end().saturating_sub(self.from)
    }

    fn end(&self) -> u64 {
        self.to.unwrap_or(self.from).max(self.from)
    }

    /// They tell of one and the same loss, or of two that touch.
    fn joins(&self, other: &Self) -> bool {
        let by_choice = |record: &Self| {
            let chosen = [LossReason::Expired.as_str(), DROPPED];
            chosen.into_iter().find(|reason| record.reason == *reason)
        };
        (&self.container, &self.generation) == (&other.container, &other.generation)
            && by_choice(self) == by_choice(other)
            && self.from <= other.end()
            && other.from <= self.end()
    }

    /// Takes in a record that [`Record::joins`] it.
    fn join(&mut self, other: Self) {
        let bounds = [&self.bound, &other.bound].map(|word| {
            let about = Bound {
                may_be_more: true,
                may_be_less: true,
            };
            Bound::parse(word).unwrap_or(about)
        });
        // The surer of two that end, or begin, at the same byte.
        let side = |first: (bool, bool), both: bool| match (first, both) {
            ((one, other), true) => one && other,
            ((one, _), false) => one,
        };
        let (ends, equal) = match self.end() >= other.end() {
            true => ((bounds[0], bounds[1]), self.end() == other.end()),
            false => ((bounds[1], bounds[0]), false),
        };
        let may_be_more = side((ends.0.may_be_more, ends.1.may_be_more), equal);
        let (starts, equal) = match self.from <= other.from {
            true => ((bounds[0], bounds[1]), self.from == other.from),
            false => ((bounds[1], bounds[0]), false),
        };
        let may_be_less = side((starts.0.may_be_less, starts.1.may_be_less), equal);
        let bound = Bound {
            may_be_more,
            may_be_less,
        };
        let end = self.end().max(other.end());
        self.from = self.from.min(other.from);
        self.to = (self.to.is_some() || other.to.is_some()).then_some(end);
        self.bound = bound.as_str().to_owned();
        if self.next_time.is_empty() {
            self.next_time = other.next_time;
        }
    }
}

/// Losses of one container and reason that are not kept one by one any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// 64 hex digits; empty for all containers that are not kept apart.
    pub container: String,
    /// Its name.
    pub name: String,
    /// As in [`Record`].
    pub reason: String,
    /// How many there were.
    pub losses: u64,
    /// Bytes known to be lost.
    pub bytes: u64,
    /// When the first was told.
    pub first_at: String,
    /// When the last was told.
    pub last_at: String,
}

/// Losses and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub losses: u64,
    /// Bytes known to be lost.
    pub bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    v: u32,
    #[serde(flatten)]
    what: What,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum What {
    Loss(Record),
    Total(Total),
}

/// All losses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    records: Vec<Record>,
    totals: Vec<Total>,
}

/// Written by another release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherVersion(pub u32);

impl Ledger {
    /// Those that are kept one by one, oldest first.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Those that are not.
    pub fn totals(&self) -> &[Total] {
        &self.totals
    }

    /// Nothing was ever lost.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.totals.is_empty()
    }

    /// Takes in a loss. One that is known already, or touches one that is, is one with it.
    pub fn add(&mut self, mut record: Record) {
        let mut known: Option<usize> = None;
        while let Some(at) = self.records.iter().position(|known| known.joins(&record)) {
            let mut older = self.records.remove(at);
            older.join(record);
            (record, known) = (older, Some(known.map_or(at, |known| known.min(at))));
        }
        let at = known.unwrap_or(self.records.len());
        self.records.insert(at.min(self.records.len()), record);
        while self.records.len() > RECORDS_MAX {
            let oldest = self.records.remove(0);
            let bytes = oldest.bytes();
            self.total(Total {
                container: oldest.container,
                name: oldest.name,
                reason: oldest.reason,
                losses: 1,
                bytes,
                first_at: oldest.told_at.clone(),
                last_at: oldest.told_at,
            });
        }
    }

    /// Takes in all of another one.
    pub fn absorb(&mut self, other: Self) {
        other.totals.into_iter().for_each(|total| self.total(total));
        other
            .records
            .into_iter()
            .for_each(|record| self.add(record));
    }

    fn total(&mut self, total: Total) {
        let same = |known: &&mut Total| {
            (&known.container, &known.reason) == (&total.container, &total.reason)
        };
        match self.totals.iter_mut().find(same) {
            Some(known) => {
                known.losses = known.losses.saturating_add(total.losses);
                known.bytes = known.bytes.saturating_add(total.bytes);
                known.last_at = total.last_at;
                known.name = total.name;
            }
            None => self.totals.push(total),
        }
        if self.totals.len() > TOTALS_MAX
            && let Some(at) = self.totals.iter().position(|t| !t.container.is_empty())
        {
            let oldest = self.totals.remove(at);
            self.total(Total {
                container: String::new(),
                name: String::new(),
                ..oldest
            });
        }
    }

    /// By reason, all there ever were.
    pub fn by_reason(&self) -> BTreeMap<&str, Count> {
        let records = self
            .records
            .iter()
            .map(|r| (r.reason.as_str(), 1, r.bytes()));
        let totals = self
            .totals
            .iter()
            .map(|t| (t.reason.as_str(), t.losses, t.bytes));
        let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
        for (reason, losses, bytes) in records.chain(totals) {
            let count = counts.entry(reason).or_default();
            count.losses = count.losses.saturating_add(losses);
            count.bytes = count.bytes.saturating_add(bytes);
        }
        counts
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let totals = self.totals.iter().cloned().map(What::Total);
        let records = self.records.iter().cloned().map(What::Loss);
        let mut file = Vec::new();
        for what in totals.chain(records) {
            let start = file.len();
            let line = serde_json::to_vec(&Line { v: VERSION, what }).unwrap_or_default();
            file.extend_from_slice(line.strip_suffix(b"}").unwrap_or(&line));
            let crc = crc32fast::hash(&file[start..]);
            file.extend_from_slice(format!("{CRC}{crc:08x}\"}}\n").as_bytes());
        }
        file
    }

    /// Reads a file's bytes; gives the lines too that could not be read, how many.
    ///
    /// # Errors
    /// When a line is whole and of another version.
    pub fn decode(file: &[u8]) -> Result<(Self, usize), OtherVersion> {
        let mut ledger = Self::default();
        let mut damaged = 0;
        for line in file
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match decode_line(line)? {
                Some(What::Loss(record)) => ledger.add(Record {
                    reason: known_reason(&record.reason),
                    ..record
                }),
                Some(What::Total(total)) => ledger.total(Total {
                    reason: known_reason(&total.reason),
                    ..total
                }),
                None => damaged += 1,
            }
        }
        Ok((ledger, damaged))
    }
}

/// Reasons are labels of metrics: there are only so many.
fn known_reason(reason: &str) -> String {
    let mut known = REASONS.into_iter();
    known
        .find(|known| *known == reason)
        .unwrap_or(OTHER)
        .to_owned()
}

fn decode_line(line: &[u8]) -> Result<Option<What>, OtherVersion> {
    let Some((body, end)) = line.split_at_checked(line.len().saturating_sub(CRC_LEN)) else {
        return Ok(None);
    };
    if end != format!("{CRC}{:08x}\"}}", crc32fast::hash(body)).as_bytes() {
        return Ok(None);
    }
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let body = [body, b"}"].concat();
    match serde_json::from_slice::<Version>(&body) {
        Ok(Version { v: VERSION }) => {}
        Ok(Version { v }) => return Err(OtherVersion(v)),
        Err(_) => return Ok(None),
    }
    Ok(serde_json::from_slice::<Line>(&body)
        .ok()
        .map(|line| line.what))
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
