//! The losses that are on the disk next to the checkpoint, compared with what was lost.

use std::collections::{BTreeMap, BTreeSet};

use agent_core::checkpoint::Checkpoint;
use agent_core::entry::GenerationId;
use agent_core::file_id::{self, Start};
use agent_core::{Listed, Loss};

/// A Docker line where it stood.
#[derive(Clone, Copy, Debug)]
struct Place {
    from: u64,
    to: u64,
    line: u64,
    first: u64,
    tokens: u64,
}

/// A file (a number never reused) by what the agent calls it.
type Names = BTreeMap<(u64, GenerationId), u64>;

/// What was told, what of it is on the disk, and where everything stood.
#[derive(Debug, Default)]
pub struct Ledger {
    told: Vec<Loss>,
    durable: Vec<Loss>,
    places: BTreeMap<u64, Vec<Place>>,
    names: Names,
    /// Bytes of files that this run of the agent has seen.
    seen: BTreeMap<u64, u64>,
    /// Files whose loss can not go unnoticed: container, and bytes that a checkpoint knew.
    known: BTreeMap<u64, u64>,
    containers: BTreeMap<u64, u64>,
    markers: BTreeSet<(u64, GenerationId, u64)>,
}

impl Ledger {
    /// The agent wants a loss to be on the disk.
    pub fn record(&mut self, loss: Loss) {
        self.told.push(loss);
    }

    /// What goes to the disk with the next checkpoint.
    pub fn take(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.told)
    }

    /// It did not get there.
    pub fn give_back(&mut self, losses: Vec<Loss>) {
        self.told.splice(0..0, losses);
    }

    /// It did.
    pub fn store(&mut self, losses: Vec<Loss>) {
        self.durable.extend(losses);
    }

    /// The agent dies, and this is the checkpoint that it will go on from.
    pub fn kill(&mut self, checkpoint: Option<&[u8]>, container_of: impl Fn(&str) -> u64) {
        self.told.clear();
        self.seen.clear();
        let Some(checkpoint) = checkpoint else { return };
        let checkpoint = Checkpoint::decode(checkpoint).expect("our own checkpoint");
        for container in &checkpoint.containers {
            let number = container_of(&container.id);
            for state in container.generations.iter().filter(|g| !g.finished) {
                if let Some(&home) = self.names.get(&(number, state.id)) {
                    let size = self.known.entry(home).or_default();
                    *size = (*size).max(state.size);
                }
            }
        }
    }

    /// A Docker line stands in a file that begins with `data`.
    pub fn placed(
        &mut self,
        home: u64,
        container: u64,
        data: &[u8],
        from: u64,
        token: (u64, u64, u64),
    ) {
        self.containers.insert(home, container);
        let (line, first, tokens) = token;
        let to = data.len() as u64;
        self.places.entry(home).or_default().push(Place {
            from,
            to,
            line,
            first,
            tokens,
        });
        if let Start::Line(fingerprint) = file_id::look(data, 0, false)
            && fingerprint.complete
        {
            let id = file_id::generation_id(&fingerprint, 0, 0);
            self.names.insert((container, id), home);
        }
    }

    /// The agent is shown a file.
    pub fn listed(&mut self, container: u64, home: u64, file: &Listed) {
        self.names
            .insert((container, file_id::unread_id(file)), home);
        if !file.compressed {
            let size = self.seen.entry(home).or_default();
            *size = (*size).max(file.size);
        }
    }

    /// The file is truncated in place. If it was seen and not read, and grows again before the next
    /// look, nothing shows that it was another one.
    pub fn truncated(&mut self, home: u64) {
        self.seen.remove(&home);
    }

    /// A gap marker arrived.
    pub fn marked(&mut self, container: u64, id: &str) {
        assert_eq!(id.len(), 39, "{id}");
        let number = |digits: &str| u64::from_str_radix(digits, 32).expect("base 32");
        let generation = GenerationId(number(&id[10..22]));
        self.markers
            .insert((container, generation, number(&id[22..30])));
    }

    /// All that is missing is told of, what is told of is missing, and the log says so itself.
    /// Says what is not so.
    pub fn check(&self, truth: &Truth<'_>) -> Vec<String> {
        let mut wrong = Vec::new();
        for loss in &self.durable {
            let container = (truth.container_of)(&loss.container.to_string());
            // A file that begins with a piece may be taken for one that is lost, and is no more.
            let home = self.names.get(&(container, loss.generation));
            if let Some(&home) = home.filter(|_| truth.marks)
                && !self.is_marked(loss, container, home, truth)
            {
                wrong.push(format!("no marker of {loss:?}"));
            }
            if let Some(&home) = home {
                wrong.extend(self.claims_too_much(loss, home, truth));
            }
        }
        assert!(truth.marks || self.markers.is_empty(), "markers are off");
        for (&home, places) in &self.places {
            let known = self.known.get(&home).copied().unwrap_or(0);
            let size = known.max(self.seen.get(&home).copied().unwrap_or(0));
            for place in places.iter().filter(|place| place.to <= size) {
                let told = self.durable.iter().any(|loss| {
                    let of = (
                        (truth.container_of)(&loss.container.to_string()),
                        loss.generation,
                    );
                    // What begins with a piece has a name that only the agent knows.
                    let named = self.names.get(&of).copied();
                    of.0 == self.containers[&home]
                        && named.is_none_or(|named| named == home)
                        && loss.from <= place.from
                        && (loss.bound.may_be_more || loss.to >= Some(place.to))
                });
                if !told && (truth.is_missing)(home, place.line, place.first, place.tokens) {
                    wrong.push(format!("{place:?} of file {home} is lost without a word"));
                }
            }
        }
        wrong
    }

    /// Losses with lines in them, and those of which every line arrived: told as no more than a
    /// bound, or it would be wrong.
    pub fn told_in_vain(&self, truth: &Truth<'_>) -> (u64, u64) {
        let lines = |loss: &Loss| {
            let container = (truth.container_of)(&loss.container.to_string());
            let home = *self.names.get(&(container, loss.generation))?;
            let inside = |at: &&Place| at.from >= loss.from && Some(at.to) <= loss.to;
            let lines: Vec<&Place> = self.places.get(&home)?.iter().filter(inside).collect();
            let is_missing = |at: &&Place| (truth.is_missing)(home, at.line, at.first, at.tokens);
            let is_there = |at: &&Place| (truth.is_there)(home, at.line, at.first, at.tokens);
            let missing = lines.iter().any(is_missing);
            (missing || lines.iter().any(is_there)).then_some(missing)
        };
        let judged: Vec<bool> = self.durable.iter().filter_map(lines).collect();
        let vain = judged.iter().filter(|is_so| !*is_so).count();
        (judged.len() as u64, vain as u64)
    }

    /// The log itself says so. What a killed run told of, the next one may know better: the spool had
    /// the first of it, and then the marker stands behind what arrived; or all of it, and then there
    /// is no gap.
    fn is_marked(&self, loss: &Loss, container: u64, home: u64, truth: &Truth<'_>) -> bool {
        let places = self.places.get(&home).map_or(&[][..], Vec::as_slice);
        let arrived_up_to = |to: u64| {
            loss.bound.may_be_less
                && places
                    .iter()
                    .filter(|at| at.from >= loss.from && at.to <= to)
                    .all(|at| !(truth.is_missing)(home, at.line, at.first, at.tokens))
        };
        let marks = self.markers.iter();
        let mut here = marks.filter(|(of, id, _)| (*of, *id) == (container, loss.generation));
        here.any(|&(_, _, from)| from <= loss.from || arrived_up_to(from))
            || arrived_up_to(loss.to.unwrap_or(u64::MAX))
    }

    /// Where a loss says that nothing of it arrived, nothing did.
    fn claims_too_much(&self, loss: &Loss, home: u64, truth: &Truth<'_>) -> Option<String> {
        let places = self.places.get(&home).map_or(&[][..], Vec::as_slice);
        // Half a line that a crash left counts for nothing here.
        let len = places.last().map_or(0, |last| last.to);
        if !truth.torn && loss.to.is_some_and(|to| to > len) {
            return Some(format!("{loss:?} of {len} bytes"));
        }
        let is_there = |place: &&Place| {
            let inside = place.from >= loss.from && Some(place.to) <= loss.to;
            inside && (truth.is_there)(home, place.line, place.first, place.tokens)
        };
        let there = places
            .iter()
            .find(is_there)
            .filter(|_| !loss.bound.may_be_less);
        there.map(|place| format!("{place:?} of file {home} is there: {loss:?}"))
    }
}

/// What the oracle knows.
pub struct Truth<'a> {
    /// A crash left half a line.
    pub torn: bool,
    /// Gaps are marked.
    pub marks: bool,
    /// The number of a container by its id.
    pub container_of: &'a dyn Fn(&str) -> u64,
    /// Some of these tokens of a line, which stood in this file, did not arrive.
    pub is_missing: &'a dyn Fn(u64, u64, u64, u64) -> bool,
    /// Some of them did, and nothing about that is in doubt.
    pub is_there: &'a dyn Fn(u64, u64, u64, u64) -> bool,
}
