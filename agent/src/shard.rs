//! Several pipelines: each owns the containers of one shard, and one checkpoint file holds them
//! all, so that their number may change between two starts.

use std::borrow::Cow;

use agent_core::checkpoint::Checkpoint;
use agent_core::{CheckpointError, ContainerId};

/// One of `count` pipelines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its number, from 0.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

impl Shard {
    /// The only pipeline.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// All of them.
    pub fn all(count: usize) -> impl Iterator<Item = Self> {
        (0..count).map(move |index| Self { index, count })
    }

    /// The container is its own: decided by the id alone, whatever else there is.
    pub fn holds(self, id: ContainerId) -> bool {
        // As rustc hashes: one differing byte anywhere changes the upper half.
        let fold = |hash: u64, &byte: &u8| {
            (hash.rotate_left(5) ^ u64::from(byte)).wrapping_mul(0x517c_c1b7_2722_0a95)
        };
        let hash = id.0.iter().fold(0, fold);
        (hash >> 32) % self.count as u64 == self.index as u64
    }
}

/// The checkpoints that `count` pipelines go on from, out of the one that was kept.
///
/// # Errors
/// When it is none that this release reads.
pub fn split(bytes: &[u8], count: usize) -> Result<Vec<Vec<u8>>, CheckpointError> {
    if count == 1 {
        return Ok(vec![bytes.to_vec()]);
    }
    let whole = Checkpoint::decode(bytes)?;
    let part = |shard: Shard| {
        let mut part = whole.clone();
        part.containers.retain(|container| {
            // What is no id is for the first to complain about.
            ContainerId::from_hex(&container.id).map_or(shard.index == 0, |id| shard.holds(id))
        });
        part.encode()
    };
    Ok(Shard::all(count).map(part).collect())
}

/// The newest checkpoint of each pipeline; empty while it has none.
#[derive(Debug)]
pub struct Parts(Vec<Vec<u8>>);

impl Parts {
    /// As the pipelines begin.
    pub fn new(parts: Vec<Vec<u8>>) -> Self {
        Self(parts)
    }

    /// A pipeline has a newer one.
    pub fn put(&mut self, pipeline: usize, bytes: Vec<u8>) {
        if let Some(part) = self.0.get_mut(pipeline) {
            *part = bytes;
        }
    }

    /// One checkpoint of all.
    ///
    /// # Errors
    /// When a part is no checkpoint.
    pub fn whole(&self) -> Result<Cow<'_, [u8]>, CheckpointError> {
        if let [only] = &self.0[..] {
            return Ok(Cow::Borrowed(only));
        }
        let mut whole: Option<Checkpoint> = None;
        for bytes in self.0.iter().filter(|bytes| !bytes.is_empty()) {
            let part = Checkpoint::decode(bytes)?;
            match &mut whole {
                Some(whole) => whole.containers.extend(part.containers),
                None => whole = Some(part),
            }
        }
        let mut whole = whole.unwrap_or_default();
        whole.containers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Cow::Owned(whole.encode()))
    }

    /// They were saved, or will not be: those of one pipeline are needed again with the next one's
    /// of another, but not where there is no other.
    pub fn are_done(&mut self) {
        if let [only] = &mut self.0[..] {
            *only = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use agent_core::checkpoint::ContainerState;

    use super::*;

    fn id(n: u8) -> ContainerId {
        let mut id = [7; 32];
        id[31] = n;
        ContainerId(id)
    }

    fn checkpoint(count: u8) -> Vec<u8> {
        let container = |n| ContainerState {
            id: id(n).to_string(),
            name: n.to_string(),
            old: false,
            last_time: String::new(),
            groups: [None, None],
            generations: Vec::new(),
        };
        let whole: Checkpoint = Checkpoint {
            epoch: 4711,
            first_start: "2026-11-23T17:29:31Z".to_owned(),
            start_cutoff: String::new(),
            containers: (0..count).map(container).collect(),
        };
        whole.encode()
    }

    #[test]
    fn each_container_is_in_one_shard_and_shards_are_alike() {
        for count in [1, 2, 3, 8] {
            let mut sizes = vec![0; count];
            for n in 0..200 {
                let holders: Vec<_> = Shard::all(count).filter(|it| it.holds(id(n))).collect();
                assert_eq!(holders.len(), 1);
                sizes[holders[0].index] += 1;
            }
            let fair = 200 / count;
            assert!(sizes.iter().all(|&size| size >= fair / 2), "{sizes:?}");
        }
    }

    #[test]
    fn what_is_split_is_whole_again_whatever_the_number() {
        let whole = checkpoint(50);
        for count in [1, 2, 5] {
            let parts = split(&whole, count).unwrap();
            assert_eq!(parts.len(), count);
            assert_eq!(Parts::new(parts).whole().unwrap(), whole);
        }
        assert!(split(b"nonsense", 2).is_err());
    }

    #[test]
    fn a_pipeline_that_has_saved_nothing_yet_takes_nothing_away() {
        let mut parts = Parts::new(vec![Vec::new(); 3]);
        parts.put(1, checkpoint(3));
        assert_eq!(parts.whole().unwrap(), checkpoint(3));
    }
}
