//! OCI as a model, and the quiet phase in which it must take everything.

use std::sync::Arc;
use std::time::Duration;

use agent_core::{BatchId, Event, Outcome};

use super::{Due, Service, World};
use crate::oracle::Oracle;

impl World {
    pub(super) fn send(&mut self, batch: BatchId, body: &Arc<Vec<u8>>) {
        let retry_after = Some(Duration::from_secs(self.random.below(5)));
        let unavailable = Outcome::Unavailable { retry_after: None };
        let (outcome, accepted) = match self.service {
            Service::Up => (Outcome::Accepted, true),
            Service::Down => (unavailable, false),
            Service::Throttling => (Outcome::Unavailable { retry_after }, false),
            Service::Refusing => (Outcome::Refused, false),
            Service::Denying => (Outcome::Denied, false),
            Service::Mute => (unavailable, true),
            Service::Picky if Oracle::is_poison(body) => (Outcome::Refused, false),
            Service::Picky => (Outcome::Accepted, true),
        };
        if accepted {
            self.oracle.accept(body);
        }
        let wait = Duration::from_millis(self.random.pick(&[0, 10, 200, 2_000]));
        self.due
            .push((self.now.mono + wait, Due::Sent(batch, outcome)));
    }

    /// Everything works again and nobody writes: all that can still be read must arrive.
    pub(super) fn quiesce(&mut self) {
        self.service = Service::Up;
        self.saves_fail = false;
        self.spool.fails = false;
        for container in 1..=self.logs.len() as u64 {
            for _ in 0..2_000 {
                if self.logs[&container].removed || self.logs[&container].is_idle() {
                    break;
                }
                self.daemon_step(container);
            }
        }
        // Rounds in which nothing was read or accepted.
        let mut quiet = 0;
        let mut before = (0, 0);
        for round in 0..400 {
            self.pass(Duration::from_secs(if round < 20 { 2 } else { 60 }));
            self.list_all();
            self.pump();
            let gauges = self.pipeline.as_ref().expect("a running agent").gauges();
            // Half a line that a crash left at the end of a current file stays unread.
            let stats = self.pipeline.as_ref().expect("a running agent").stats();
            let now = (stats.read_bytes + stats.losses, stats.accepted_batches);
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
            // Of a compressed file nothing is known to be there before it is read.
            let read = (self.is_read() && quiet > 10) || (self.oracle.torn && quiet > 30);
            let waiting = gauges.queued + gauges.in_flight + gauges.spooled;
            if round > 8 && waiting == 0 && self.due.is_empty() && read {
                break;
            }
            if round == 399 && self.debug {
                println!("{:#?}", self.pipeline);
            }
            assert!(round < 399, "it never drains: {gauges:?}");
        }
        self.event(Event::Drain);
        for _ in 0..20 {
            self.pump();
            self.pass(Duration::from_secs(40));
        }
        let pipeline = self.pipeline.as_ref().expect("a running agent");
        assert!(
            pipeline.is_drained(),
            "it does not drain: {:?}",
            pipeline.gauges()
        );
    }

    pub(super) fn is_read(&self) -> bool {
        let pipeline = self.pipeline.as_ref().expect("a running agent");
        pipeline.gauges().lag_bytes == 0
    }
}
