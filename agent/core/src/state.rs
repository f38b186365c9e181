//! A container's log to and from its state in the checkpoint.

use std::time::Duration;

use crate::checkpoint::{ContainerState, GenerationState};
use crate::entry::IdPrefix;
use crate::event::{Container, ContainerId, FileHandle, Head, Listed};
use crate::file_id::Fingerprint;
use crate::generation::Generation;
use crate::stamp::Time;
use crate::stats::ContainerStatus;
use crate::tail::Tail;

impl Tail {
    /// What the checkpoint keeps.
    pub fn state(&self) -> ContainerState {
        let generations = self.chain.generations();
        ContainerState {
            id: self.container.id.to_string(),
            name: self.container.name.clone(),
            old: self.is_old,
            last_time: String::from_utf8_lossy(&self.committed_time).into_owned(),
            groups: self.committed_groups.clone(),
            generations: generations
                .iter()
                .enumerate()
                .map(|(index, generation)| {
                    let before = index.checked_sub(1).map(|before| &generations[before]);
                    generation_state(generation, before)
                })
                .collect(),
        }
    }

    /// Bytes known to be there and not accepted.
    pub fn lag_bytes(&self) -> u64 {
        let lag = |g: &Generation| g.size.saturating_sub(g.committed[0].min(g.committed[1]));
        self.chain.generations().iter().map(lag).sum()
    }

    fn unread_bytes(&self) -> u64 {
        let unread = |g: &Generation| g.size.saturating_sub(g.read);
        self.chain.generations().iter().map(unread).sum()
    }

    /// What the operator sees.
    pub fn status(&self) -> ContainerStatus {
        ContainerStatus {
            id: self.container.id,
            name: self.container.name.clone(),
            generations: self.chain.generations().len(),
            read_bytes: self.read_bytes,
            lag_bytes: self.lag_bytes(),
            unread_bytes: self.unread_bytes(),
            last_time: String::from_utf8_lossy(&self.committed_time).into_owned(),
        }
    }
}

impl ContainerState {
    /// The log as this state left it.
    pub fn restore(self, id: ContainerId, epoch: u64) -> Tail {
        let container = Container {
            id,
            name: self.name,
            created: String::new(),
            removed: false,
            files_max: 0,
        };
        let mut tail = Tail::new(container, epoch);
        tail.is_old = self.old;
        tail.resume(self.groups, &self.last_time);
        for state in self.generations {
            let follows = state.follows;
            tail.chain.restore(generation(id, state), follows);
        }
        tail
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// `before` is the generation in front of it.
fn generation_state(generation: &Generation, before: Option<&Generation>) -> GenerationState {
    let follows = match before {
        Some(before) => generation.follows == Some(before.key),
        // What it follows is accepted and forgotten.
        None => generation.follows.is_some(),
    };
    let Head { len, hash, offset } = generation.fingerprint.head;
    let evidence = |listed: Listed| {
        let modified = nanos(listed.modified);
        (
            listed.device,
            listed.inode,
            listed.size,
            modified,
            listed.compressed,
        )
    };
    GenerationState {
        id: generation.id,
        head_offset: offset,
        head_len: len,
        head_hash: hash,
        head_complete: generation.fingerprint.complete,
        witness: generation
            .fingerprint
            .witness
            .map(|witness| (witness.offset, witness.len, witness.hash)),
        twin: generation.twin,
        committed: generation.committed,
        last: generation
            .last
            .filter(|_| generation.committed == [generation.read; 2]),
        size: match generation.loss {
            Some(loss) if !loss.passed => loss.to,
            Some(_) => generation.read,
            None => generation.sure_size.max(generation.read),
        },
        sealed: generation.sealed,
        closed: generation.closed,
        finished: generation.is_done(),
        start_time: generation.start_time.clone(),
        // Of what is done, too: it goes on if it was given up, and is found again.
        last_time: String::from_utf8_lossy(&generation.committed_time).into_owned(),
        evidence: generation.evidence.map(evidence),
        born: generation.evidence.map_or(0, |listed| nanos(listed.born)),
        follows,
    }
}

fn generation(container: ContainerId, state: GenerationState) -> Generation {
    let head = Head {
        len: state.head_len,
        hash: state.head_hash,
        offset: state.head_offset,
    };
    let evidence = |(device, inode, size, modified, compressed)| Listed {
        // No file of this run has this handle.
        handle: FileHandle(u64::MAX),
        position: 0,
        compressed,
        device,
        inode,
        size,
        modified: Duration::from_nanos(modified),
        born: Duration::from_nanos(state.born),
        held: false,
    };
    let fingerprint = Fingerprint {
        head,
        complete: state.head_complete,
        witness: state
            .witness
            .map(|(offset, len, hash)| Head { len, hash, offset }),
        time: Time::default(),
    };
    let prefix = IdPrefix::new(container, state.id);
    Generation {
        twin: state.twin,
        evidence: state.evidence.map(evidence),
        size: state.size,
        sure_size: state.size,
        read: state.committed[0].min(state.committed[1]),
        last: state.last,
        committed: state.committed,
        skip: state.committed,
        closed: state.closed,
        finished: state.finished,
        start_time: state.start_time,
        committed_time: state.last_time.clone().into_bytes(),
        last_time: state.last_time.into_bytes(),
        sealed: state.sealed,
        unsure_to: u64::MAX,
        ..Generation::new(0, state.id, prefix, fingerprint)
    }
}
