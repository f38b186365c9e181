//! What of containers' logs a batch in the spool holds: kept with it, so that the next start knows
//! that these bytes are shipped though no checkpoint says so, and that they are lost if the batch is.

use serde::{Deserialize, Serialize};

use crate::entry::GenerationId;
use crate::event::{BatchId, ContainerId};
use crate::follow::Follow;
use crate::inflight::GroupMark;
use crate::loss::{Bound, Loss, LossReason};
use crate::planted::Bug;

/// One container's part of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// 64 hex digits.
    pub container: String,
    /// Its name when it was spooled.
    pub name: String,
    /// All in front of it was accepted when it was spooled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_first: bool,
    /// Its log files, oldest first.
    pub files: Vec<CoveredFile>,
    /// Lines of which parts are shipped behind it, by stream.
    #[serde(default)]
    pub groups: [Option<GroupMark>; 2],
    /// Time of the last line in it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_time: String,
}

/// One log file's part of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoveredFile {
    /// As in entry ids.
    pub id: GenerationId,
    /// Offset of stdout and of stderr at which it begins.
    pub from: [u64; 2],
    /// Offsets at which it ends.
    pub to: [u64; 2],
    /// The file ends there, for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_whole: bool,
    /// Time of the last line in front of that: what is not Docker's behind it is dated by it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_time: String,
}

fn text(time: &[u8]) -> String {
    String::from_utf8_lossy(time).into_owned()
}

impl Follow {
    /// What of this container a batch holds that goes to the spool now.
    pub(crate) fn covered(&self, batch: BatchId) -> Option<Covered> {
        let (before, position, is_first) = self.tail.inflight.around(batch)?;
        let offsets = |marks: &[(u64, [u64; 2])], key: u64| {
            let mut marks = marks.iter();
            marks.find(|(known, _)| *known == key).map(|(_, to)| *to)
        };
        let file = |&(key, to): &(u64, [u64; 2])| {
            let generation = self.tail.chain.get(key).filter(|_| to != [0; 2])?;
            let before = before.map_or(Some(generation.committed), |it| offsets(&it.marks, key));
            let ends = to == [generation.read; 2];
            let last_time = position.times.iter().find(|(known, _)| *known == key);
            Some(CoveredFile {
                id: generation.id,
                from: before.unwrap_or([0; 2]),
                to,
                is_whole: ends && generation.finished && generation.loss.is_none(),
                last_time: last_time.map_or_else(String::new, |(_, time)| text(time)),
            })
        };
        Some(Covered {
            container: self.tail.container.id.to_string(),
            name: self.tail.container.name.clone(),
            is_first,
            files: position.marks.iter().filter_map(file).collect(),
            groups: position.groups.clone(),
            last_time: text(&position.last_time),
        })
    }

    /// What a batch in the spool holds is shipped: goes on behind it, if this stands in front of it
    /// or inside of it and no line between is missing. True if that led further.
    pub(crate) fn cover(&mut self, covered: &Covered) -> bool {
        let at = |id: GenerationId| {
            let mut generations = self.tail.chain.generations().iter();
            generations.find(|known| known.id == id)
        };
        let known = covered.files.iter().filter_map(|it| Some((it, at(it.id)?)));
        let mut leads = false;
        for (file, generation) in known {
            for slot in 0..2 {
                let committed = generation.committed[slot];
                let is_hole = !covered.is_first
                    && committed < file.from[slot]
                    && !Bug::CoverHole.is_planted();
                if is_hole || committed > file.to[slot] {
                    return false;
                }
                leads |= committed < file.to[slot];
            }
        }
        if !leads {
            return false;
        }
        for file in &covered.files {
            let mut generations = self.tail.chain.generations_mut().iter_mut();
            if let Some(generation) = generations.find(|known| known.id == file.id) {
                generation.ship_to(file.to, file.is_whole, &file.last_time);
            }
        }
        self.tail.resume(covered.groups.clone(), &covered.last_time);
        true
    }
}

impl Covered {
    /// The batch is lost.
    pub(crate) fn losses(&self) -> Vec<Loss> {
        let Some(container) = ContainerId::from_hex(&self.container) else {
            return Vec::new();
        };
        let range = |file: &CoveredFile| {
            let from = file.from[0].min(file.from[1]);
            let to = file.to[0].max(file.to[1]);
            (from < to).then_some((file.id, from, Some(to)))
        };
        let ranges = self.files.iter().filter_map(range);
        let loss = |(id, from, to)| lost(container, &self.name, id, from, to);
        ranges.map(loss).collect()
    }
}

/// Nobody knows which lines of this container were in the batch.
pub(crate) fn unknown(container: ContainerId, name: &str) -> Loss {
    lost(container, name, GenerationId(0), 0, None)
}

fn lost(
    container: ContainerId,
    name: &str,
    generation: GenerationId,
    from: u64,
    to: Option<u64>,
) -> Loss {
    Loss {
        container,
        name: name.to_owned(),
        generation,
        from,
        to,
        // It may have been sent before, in part or without an answer.
        bound: Bound {
            may_be_more: to.is_none(),
            may_be_less: true,
        },
        reason: LossReason::SpoolDamaged,
        last_time: String::new(),
        first_lost_time: String::new(),
        next_time: String::new(),
    }
}
