//! What the loop asks of the spool, and does with its answers.

use agent_core::Event;
use agent_core::spool::Unspooled;
use agent_core::stats::{ContainerStatus, Gauges};

use super::{Agenda, Engine};
use crate::forecast::Level;
use crate::spool::{Answer, Request, Usage};

impl Engine {
    pub(super) fn ask_spool(&mut self, request: Request) {
        let unheard = match &self.spool {
            Some(spool) => {
                let asked = spool.send((self.shard.index, request));
                asked.err().map(|error| error.0.1)
            }
            None => Some(request),
        };
        // Its thread has ended: as a disk that fails.
        match unheard {
            Some(Request::Keep { batch, .. }) => {
                let stored = false;
                self.tell(Event::Spooled { batch, stored });
            }
            Some(Request::Find(batch)) => {
                let found = Unspooled::Unreadable;
                self.tell(Event::Unspooled { batch, found });
            }
            Some(Request::Forget(_)) | None => {}
        }
    }

    pub(super) fn spool_answered(&mut self, answer: Answer, usage: Usage, agenda: &mut Agenda) {
        let was_empty = agenda.spool_usage.segments == 0;
        agenda.spool_usage = usage;
        match answer {
            Answer::Kept(batch, kept) => {
                let error = kept.err().map(|error| error.to_string());
                let stored = error.is_none();
                if stored && was_empty {
                    tracing::warn!("lines that rotation is about to delete go to the spool");
                }
                if let Some(error) = error.as_ref().filter(|_| agenda.spool_error.is_none()) {
                    tracing::error!("{error}; what is about to be lost stays where it is");
                }
                agenda.spool_error = error;
                self.tell(Event::Spooled { batch, stored });
            }
            Answer::Found(batch, found) => self.tell(Event::Unspooled { batch, found }),
            Answer::Forgotten => {
                if usage.segments == 0 {
                    agenda.spool_error = None;
                    tracing::info!("all that was in the spool is sent");
                }
            }
        }
    }
    /// While OCI takes nothing: how long what is not shipped will be there.
    pub(super) fn look_ahead(
        &mut self,
        containers: &[ContainerStatus],
        gauges: &Gauges,
        agenda: &mut Agenda,
    ) {
        if !gauges.unavailable && !gauges.denied {
            return agenda.forecast.clear();
        }
        let now = self.started.elapsed();
        for it in containers {
            let level = Level {
                written: it.read_bytes + it.unread_bytes,
                behind: it.lag_bytes,
            };
            let rotation = self.discovery.rotation(it.id);
            agenda
                .forecast
                .note(now, (it.id, &it.name), level, rotation);
        }
    }
}
