//! What the loop tells people: notices of the core, the status, what it lets go of.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use agent_core::{BatchId, ContainerId, Event, Notice};

use super::{Agenda, Engine};
use crate::admin::Snapshot;
use crate::discover::Standing;
use crate::watch::Watch;

impl Engine {
    /// Keeps the disk space of deleted files within its bounds.
    pub(super) fn bound_held(&mut self, agenda: &mut Agenda) {
        let shortage = self.min_free.shortage(self.discovery.root());
        // Where the disk cannot be asked, the scan says why.
        let shortage = shortage.unwrap_or(0).div_ceil(self.shard.count as u64);
        agenda.held = self.files.bound_held(self.held_bytes_max, shortage);
        agenda.evicted_bytes += agenda.held.freed_bytes;
    }

    /// Keeps an entry that the service refuses.
    pub(super) fn quarantine(&mut self, batch: BatchId, body: &[u8], agenda: &mut Agenda) {
        let answer = agenda.refusals.get(&batch).cloned().unwrap_or_default();
        let quarantine = self.quarantine.lock();
        let kept = quarantine.unwrap_or_else(PoisonError::into_inner).keep(
            body,
            answer.clone(),
            jiff::Timestamp::now(),
        );
        let stored = kept.is_ok();
        match kept {
            Ok(id) => {
                agenda.quarantine_error = None;
                tracing::error!(id, answer, "OCI refuses an entry: it is in quarantine");
            }
            Err(error) => {
                tracing::error!(
                    answer,
                    "OCI refuses an entry, and it cannot be kept: {error}"
                );
                agenda.quarantine_error = Some(error.to_string());
            }
        }
        self.tell(Event::Quarantined { batch, stored });
    }

    pub(super) fn report(&mut self, notice: &Notice) {
        match notice {
            Notice::Lost(loss) => {
                let (wall, name) = (self.now().wall, &loss.name);
                self.losses.tell(loss, wall);
                if loss.reason.is_by_age() {
                    // Many of them follow each other; the ledger has them as one.
                    tracing::debug!(container = name, from = loss.from, "lines are too old");
                    return;
                }
                tracing::error!(
                    container = name,
                    generation = %loss.generation,
                    from = loss.from,
                    to = ?loss.to,
                    bound = loss.bound.as_str(),
                    reason = loss.reason.as_str(),
                    last_time = loss.last_time,
                    next_time = loss.next_time,
                    "{}",
                    match loss.to {
                        Some(_) => "log bytes are lost",
                        None => "log bytes may be lost: nobody saw how the file ended",
                    }
                );
            }
            Notice::Torn {
                container,
                position,
            } => {
                let name = self.discovery.container(*container).name;
                tracing::warn!(
                    container = name,
                    position,
                    "a compressed log file is damaged"
                );
            }
            Notice::SpoolDamaged {
                batch,
                entries,
                is_nameless,
            } => {
                let (segment, wall) = (batch.0, self.now().wall);
                tracing::error!(
                    segment,
                    entries,
                    "entries are lost: the spool did not keep them"
                );
                if *is_nameless {
                    self.losses.tell_segment(segment, wall);
                }
            }
            Notice::Opened { .. } => {}
        }
    }

    pub(super) fn put_up(&mut self, agenda: &mut Agenda) {
        let containers = self.core.containers();
        let gauges = self.core.gauges();
        self.look_ahead(&containers, &gauges, agenda);
        let ids: BTreeSet<ContainerId> = containers.iter().map(|it| it.id).collect();
        self.discovery.keep_departed(|id| ids.contains(&id));
        let left_out = self
            .discovery
            .iter()
            .filter_map(|(id, known)| match &known.standing {
                Standing::LeftOut(why) => Some((known.name(id), why.to_string())),
                _ => None,
            });
        let unreadable = self.files.trouble.iter().map(|(id, why)| {
            let name = self.discovery.container(id).name;
            (name, format!("cannot be read: {why}"))
        });
        let snapshot = Snapshot {
            at: self.started.elapsed(),
            stats: self.core.stats().clone(),
            gauges,
            containers,
            left_out: left_out.chain(unreadable).collect(),
            held_bytes: agenda.held.kept_bytes,
            evicted_bytes: agenda.evicted_bytes,
            losses: self.losses.all().clone(),
            send_error: self.sender.last_error(),
            save_failed: agenda.last_save_failed,
            quarantine_error: agenda.quarantine_error.clone(),
            spool: agenda.spool_usage,
            spool_error: agenda.spool_error.clone(),
            first_to_lose: agenda.forecast.first(),
            containers_error: agenda.containers_error.clone(),
            open_files: self.files.open_count(),
            watch_whole: self.watch.as_ref().is_some_and(Watch::is_whole),
            has_looked: agenda.has_looked,
            sign_in: None,
        };
        self.board.put_up(self.shard.index, snapshot);
    }
}
