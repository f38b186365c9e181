//! Gap markers: an entry in a container's own log that stands where lines are lost.

use crate::batch::Labels;
use crate::entry::{Gap, IdPrefix};
use crate::escape;
use crate::loss::{Loss, LossReason};
use crate::stamp;
use crate::tail::{Sink, Tail};

/// The last word of `type`.
pub const KIND: &str = "gap";
/// Longest text of a marker, far below what the service takes.
const TEXT_BYTES_MAX: usize = 1_000;

impl Tail {
    /// Writes the marker of a loss. False when the batch has no room.
    pub fn mark_gap(
        &self,
        loss: &Loss,
        prefix: IdPrefix,
        labels: &Labels,
        sink: &mut Sink<'_>,
    ) -> bool {
        if !sink.has_room(TEXT_BYTES_MAX) {
            return false;
        }
        let mut text = Vec::with_capacity(TEXT_BYTES_MAX);
        escape::repair(text_of(loss).as_bytes(), false, &mut text);
        let dates = [&loss.first_lost_time, &loss.last_time, &loss.next_time];
        let date = dates
            .into_iter()
            .find(|time| stamp::is_valid(time.as_bytes()));
        let time = date.cloned().unwrap_or_else(|| self.line_time(sink.wall));
        // The service would drop what is older than the log's retention.
        let time = match stamp::is_before(time.as_bytes(), sink.retention_cutoff.as_bytes()) {
            true => stamp::from_wall(sink.wall),
            false => time,
        };
        sink.batch.enter(labels);
        let gap = Gap {
            prefix: &prefix,
            offset: loss.from,
            text: &text,
            time: time.as_bytes(),
        };
        sink.batch.push_gap(sink.now, sink.style, &gap);
        sink.batch.leave();
        sink.stats.gap_markers += 1;
        true
    }
}

/// What the marker says.
fn text_of(loss: &Loss) -> String {
    let Loss {
        generation, from, ..
    } = loss;
    let what = match loss.to {
        Some(to) => format!("lines are missing here: bytes {from}..{to} of log file {generation}"),
        None if loss.reason == LossReason::SpoolDamaged => {
            "lines are missing: those of a batch that nobody can read any more".to_owned()
        }
        None => {
            format!("lines may be missing here: what log file {generation} had from byte {from} on")
        }
    };
    let more = match (loss.to, loss.bound.may_be_more) {
        (Some(_), true) => ", and perhaps more",
        _ => "",
    };
    let less = match loss.bound.may_be_less {
        true => ", of which some may have arrived",
        false => "",
    };
    let reason = loss.reason.as_str();
    let mut text = format!("platform-agent: log {what}{more}{less}; reason: {reason}");
    for (what, time) in [
        ("last line before", &loss.last_time),
        ("first line missing", &loss.first_lost_time),
        ("first line after", &loss.next_time),
    ] {
        if !time.is_empty() {
            let time: String = time.chars().take(stamp::LEN_MAX).collect();
            text += &format!("; {what}: {time}");
        }
    }
    text
}
