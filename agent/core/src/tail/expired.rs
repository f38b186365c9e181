//! Lines older than the log's retention: passed over, and told as ranges of bytes.

use super::{At, Tail};
use crate::loss::{Bound, Loss, LossReason};
use crate::stamp::Time;

/// Ranges of one chunk that are told exactly; behind that, what lies between is told with them.
const RANGES_MAX: usize = 16;

/// Lines that follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Expired {
    key: u64,
    from: u64,
    to: u64,
    first_time: Time,
    /// Lines that are not so old lie between them.
    is_mixed: bool,
}

impl Tail {
    /// The line is passed over.
    pub(super) fn expire(&mut self, at: At, len: usize, time: &[u8]) {
        // Its newline goes with it.
        let to = at.offset + len as u64 + 1;
        let room = self.expired.len() < RANGES_MAX;
        match self.expired.last_mut() {
            Some(last) if last.key == at.key && (last.to >= at.offset || !room) => {
                last.is_mixed |= last.to < at.offset;
                last.to = to;
            }
            _ => self.expired.push(Expired {
                key: at.key,
                from: at.offset,
                to,
                first_time: Time::of(time),
                is_mixed: false,
            }),
        }
    }

    /// What was passed over since this was last asked for.
    pub fn take_expired(&mut self) -> Vec<Loss> {
        let expired = std::mem::take(&mut self.expired);
        let loss = |range: Expired| {
            let generation = self.chain.get(range.key)?;
            Some(Loss {
                container: self.container.id,
                name: self.container.name.clone(),
                generation: generation.id,
                from: range.from,
                to: Some(range.to.min(generation.read).max(range.from)),
                bound: Bound {
                    may_be_less: range.is_mixed,
                    ..Bound::EXACT
                },
                reason: LossReason::Expired,
                last_time: String::new(),
                first_lost_time: range.first_time.as_str().to_owned(),
                next_time: String::new(),
            })
        };
        expired.into_iter().filter_map(loss).collect()
    }
}
