//! A sealed batch: what is left of it to be sent, and where that is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Sent;
use crate::bisect::halve;
use crate::event::ContainerId;
use crate::lane::Lane;
use crate::retry::refused_delay;
use crate::spool::Body;

#[derive(Debug)]
pub struct Sealed {
    /// What is not settled of it, first to last: the whole body, or what bisecting left. Empty
    /// while the spool alone has it.
    pub pieces: VecDeque<Body>,
    /// The spool has it.
    pub spooled: bool,
    pub lane: Lane,
    pub entries: u32,
    pub bytes: usize,
    pub attempts: u32,
    pub busy: Busy,
    pub not_before: Duration,
    /// Bodies accepted when the service last refused a single entry of it.
    pub refused_at: Option<u64>,
    pub containers: Vec<ContainerId>,
    /// It is sent to see whether anything is accepted.
    pub is_proof: bool,
}

/// What is going on with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    No,
    /// Its first piece is on its way.
    Sending,
    /// Its first piece is refused alone, and being written to the quarantine.
    Quarantining,
    /// It is being written to the spool.
    Spooling,
    /// It is being read from the spool.
    Unspooling,
}

impl Sealed {
    /// A body that was just closed.
    pub fn new(body: Vec<u8>, entries: u32, lane: Lane, containers: Vec<ContainerId>) -> Self {
        let bytes = body.len();
        let body = Body {
            bytes: Arc::new(body),
            entries,
        };
        Self {
            pieces: VecDeque::from([body]),
            spooled: false,
            lane,
            entries,
            bytes,
            attempts: 0,
            busy: Busy::No,
            not_before: Duration::ZERO,
            refused_at: None,
            containers,
            is_proof: false,
        }
    }

    /// Another body was accepted since a single entry was refused: time to see which it is.
    pub fn is_proved(&self, accepted: u64) -> bool {
        self.refused_at.is_some_and(|at| at < accepted)
    }

    /// Its turn, when `accepted` bodies were accepted so far.
    pub fn is_ready(&self, now: Duration, accepted: u64) -> bool {
        self.busy == Busy::No && (self.not_before <= now || self.is_proved(accepted))
    }

    /// Memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.bytes.capacity()).sum()
    }

    /// The service refused the first piece: its halves are tried next. A single entry goes to the
    /// quarantine if it is refused, another body is accepted, and it is refused again: as long as
    /// the service takes nothing from us, the fault is not in the entry (the log's id, say), and
    /// everything would end there. Where no other body comes by itself, one is asked for
    /// ([`Sent::Unproved`]) when a single entry is refused for the second time.
    pub fn refuse(&mut self, now: Duration, accepted: u64) -> Sent {
        let Some(piece) = self.pieces.pop_front() else {
            return Sent::Open;
        };
        if let Some(halves) = halve(&piece.bytes) {
            for half in halves.into_iter().rev() {
                self.pieces.push_front(Body {
                    bytes: Arc::new(half.body),
                    entries: half.entries,
                });
            }
            self.attempts = 0;
            return Sent::Open;
        }
        if self.is_proved(accepted) {
            let body = Arc::clone(&piece.bytes);
            self.pieces.push_front(piece);
            self.busy = Busy::Quarantining;
            return Sent::Reject(body);
        }
        // Others of the batch may be accepted, which tells; then it is its turn again.
        self.pieces.push_back(piece);
        self.refused_at = Some(accepted);
        let tried = u32::try_from(self.pieces.len()).unwrap_or(u32::MAX);
        if self.attempts >= tried {
            self.not_before = now + refused_delay(1 + self.attempts - tried);
        }
        match self.attempts > tried {
            true => Sent::Unproved,
            false => Sent::Open,
        }
    }
}
