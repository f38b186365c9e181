//! An entry of the agent's own, which shows whether the service takes anything from us: a line that
//! it refuses goes to the quarantine only if it does, and behind the last line of a quiet log
//! nothing else comes that would show it.

use super::Pipeline;
use crate::batch::{Batch, Labels};
use crate::entry::{Gap, GenerationId, IdPrefix, Style};
use crate::event::{ContainerId, Now};
use crate::stamp;

/// The last word of `type`.
pub const KIND: &str = "proof";
/// Its `subject`: it belongs to no container.
const SUBJECT: &str = "platform-agent proof";
const TEXT: &[u8] = b"platform-agent: a line is refused, and this entry shows whether others are \
    accepted; if they are, the line goes to the quarantine";
const BODY_BYTES: usize = 1_024;

impl Pipeline {
    pub(super) fn prove(&mut self, now: Now) {
        if self.draining {
            return;
        }
        let (source, prefix) = (&self.settings.source, &self.settings.type_prefix);
        let style = Style {
            nanoseconds: true,
            part_marks: false,
        };
        let mut batch = Batch::new(Vec::with_capacity(BODY_BYTES));
        batch.enter(&Labels::proof(source, prefix, SUBJECT));
        // Its id holds a hash of its text and time: the state folder tells hosts apart.
        let prefix = IdPrefix::new(
            ContainerId([0; 32]),
            GenerationId(self.state.epoch & GenerationId::MASK),
        );
        let time = stamp::from_wall(now.wall);
        let entry = Gap {
            prefix: &prefix,
            offset: 0,
            text: TEXT,
            time: time.as_bytes(),
        };
        batch.push_gap(now.mono, style, &entry);
        batch.leave();
        self.outbox.prove(batch.seal());
    }
}
