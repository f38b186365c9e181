//! What this host knows of its backups without asking the store: what the last runs came to, when a
//! drill last opened a set, and which sets were begun here. `data/platform-ops/backup.json`, written
//! whole, under the lock.

use std::path::PathBuf;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backup::listing::{Listing, Proof};
use crate::file::{self, Access};
use crate::root::Root;

/// Sets that were begun and never finished are forgotten after so many: `prune` finds them too.
const BEGUN_MAX: usize = 32;

/// What is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Journal {
    /// The last `backup create` that was to make a set.
    pub attempt: Option<Attempt>,
    /// Attempts since the last set that was made.
    pub failures: u32,
    /// The last set that was made here.
    pub made: Option<Made>,
    /// The last drill that restored all of a set, with whatever key.
    pub proven: Option<Seen>,
    /// The last one with the key that is kept elsewhere.
    pub escrow: Option<Seen>,
    /// Why the last drill was none or found faults, unless one succeeded since.
    pub drill_fault: Option<String>,
    /// The store, at the last look.
    pub store: Option<StoreSeen>,
    /// Sets that were begun here and not known to be finished.
    pub begun: Vec<Begun>,
}

/// A run of `backup create`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub seconds: i64,
    /// Its exit code.
    pub exit: u8,
    /// Why it failed, without secrets.
    pub error: Option<String>,
}

/// A set that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// Its id.
    pub set: String,
    /// When its snapshots were opened.
    pub created: Timestamp,
    /// Stored bytes.
    pub bytes: u64,
}

/// A drill that succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// The set.
    pub set: String,
    /// When.
    pub at: Timestamp,
}

/// What a store held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreSeen {
    /// When it was looked at.
    pub at: Timestamp,
    /// The store.
    pub store: String,
    /// Sets.
    pub sets: usize,
    /// Those that a drill has proven.
    pub proven: usize,
    /// Bytes of everything below the prefix, uploads under way not counted.
    pub bytes: u64,
    /// Sets that are newer than every proven one.
    pub unproven_since: usize,
}

/// A set that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Its id.
    pub set: String,
    /// The store it goes to.
    pub store: String,
}

impl Journal {
    /// Reads it; none yet is an empty one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(root: &Root) -> anyhow::Result<Self> {
        let path = path(root);
        let failed = || format!("read {}; without it, it is made anew", path.display());
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            text => serde_json::from_str(&text.with_context(failed)?).with_context(failed),
        }
    }

    /// Replaces it and makes it durable. Under the lock only.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, root: &Root) -> anyhow::Result<()> {
        let path = path(root);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("make {}", folder.display()))?;
        }
        file::replace(
            &path,
            &serde_json::to_vec_pretty(self)?,
            Access::root(0o644),
        )
    }

    /// A set is about to be begun: before its first object.
    pub fn begin(&mut self, set: &str, store: &str) {
        self.begun.push(Begun {
            set: set.to_owned(),
            store: store.to_owned(),
        });
        let excess = self.begun.len().saturating_sub(BEGUN_MAX);
        self.begun.drain(..excess);
    }

    /// A set is whole, or nothing is left of it.
    pub fn settle(&mut self, set: &str) {
        self.begun.retain(|begun| begun.set != set);
    }

    /// A run has ended.
    pub fn ended(&mut self, attempt: Attempt, made: Option<Made>) {
        match made {
            Some(made) => {
                self.failures = 0;
                self.made = Some(made);
            }
            None => self.failures += 1,
        }
        self.attempt = Some(attempt);
    }

    /// A drill has ended, or could not be held.
    pub fn drilled(&mut self, drill: Result<&Proof, &str>) {
        match drill {
            Ok(proof) if proof.complete => {
                self.drill_fault = None;
                self.note_proof(proof);
            }
            // A part that is right says nothing of the rest.
            Ok(proof) if proof.faults.is_empty() => {}
            Ok(proof) => {
                let fault = proof.faults.first().cloned().unwrap_or_default();
                self.drill_fault = Some(format!("set {}: {fault}", proof.set));
            }
            Err(why) => self.drill_fault = Some(why.to_owned()),
        }
    }

    fn note_proof(&mut self, proof: &Proof) {
        let seen = || {
            Some(Seen {
                set: proof.set.clone(),
                at: proof.at,
            })
        };
        let is_newer =
            |known: &Option<Seen>| known.as_ref().is_none_or(|known| known.at < proof.at);
        if is_newer(&self.proven) {
            self.proven = seen();
        }
        if proof.identity == "escrow" && is_newer(&self.escrow) {
            self.escrow = seen();
        }
    }

    /// The store was read: drills of other hosts count as well.
    pub fn observe(&mut self, store: &str, listing: &Listing, now: Timestamp) {
        for set in &listing.sets {
            let right = set.proofs.iter();
            for proof in right.filter(|proof| proof.proves(&set.manifest_sha256)) {
                self.note_proof(proof);
            }
        }
        let all = listing.objects.values().flatten().chain(&listing.foreign);
        self.store = Some(StoreSeen {
            at: now,
            store: store.to_owned(),
            sets: listing.sets.len(),
            proven: listing.sets.iter().filter(|set| set.is_proven()).count(),
            bytes: all.map(|found| found.bytes).sum(),
            unproven_since: listing
                .sets
                .iter()
                .rev()
                .take_while(|set| !set.is_proven())
                .count(),
        });
    }
}

fn path(root: &Root) -> PathBuf {
    root.state().join("backup.json")
}
