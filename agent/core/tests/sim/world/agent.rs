//! The agent's life: killed, and started on what is on the disk.

use std::time::Duration;

use agent_core::{Event, FileHandle, Pipeline, Settings};

use super::{Due, World};

impl World {
    /// kill -9, some time, and a new start.
    pub(super) fn restart(&mut self) {
        self.outcomes.crashes += 1;
        if self.random.one_in(3) {
            self.event(Event::Drain);
            for _ in 0..self.random.below(4) {
                self.pump();
                self.pass(Duration::from_secs(2));
            }
        }
        self.kill();
        for _ in 0..self.random.below(12) {
            let container = self.random.below(self.logs.len() as u64) + 1;
            match self.random.below(3) {
                0 => self.write(container),
                1 => self.daemon(container),
                _ => self.pass(Duration::from_secs(1)),
            }
        }
        self.start_agent();
    }

    fn kill(&mut self) {
        self.say("kill");
        self.pipeline = None;
        for (_, due) in std::mem::take(&mut self.due) {
            match due {
                // The ledger may have been written or not, and then the checkpoint.
                Due::Saved(_, bytes, losses, works) if self.random.one_in(2) => {
                    let both = works && self.random.one_in(2);
                    self.oracle.ledger.store(losses);
                    self.durable = Some(bytes).filter(|_| both).or(self.durable.take());
                }
                Due::Spooled(batch, segment, true) if self.random.one_in(2) => {
                    self.spool.segments.insert(batch, segment);
                }
                _ => {}
            }
        }
        self.watched.clear();
        self.spool.killed(&mut self.random);
        self.oracle
            .ledger
            .kill(self.durable.as_deref(), Self::number_of);
        let handles: Vec<u64> = self.files.keys().copied().collect();
        for handle in handles {
            self.close(FileHandle(handle));
        }
        self.files.clear();
    }

    pub(super) fn start_agent(&mut self) {
        self.clock_base = self.now.mono;
        self.started = true;
        let settings = Settings {
            source: "host".into(),
            type_prefix: "t".into(),
            nanoseconds: true,
            part_marks: false,
            gap_markers: self.marks,
            batch_bytes_max: 256 << 10,
            batch_age_max: Duration::from_millis(500),
            in_flight_max: 2,
            memory_bytes_max: self.budget,
            start_cutoff: String::new(),
            retention: Duration::ZERO,
            poll_interval: Duration::from_millis(200),
            poll_interval_max: Duration::from_secs(1),
            join_age_max: Duration::from_secs(5),
            save_interval: Duration::from_secs(1),
            bytes_per_second_max: 0,
            spool: self.spool.is_there,
            seed: self.random.next(),
        };
        let mut pipeline = match &self.durable {
            Some(checkpoint) => Pipeline::resume(settings, checkpoint).expect("our own checkpoint"),
            None => Pipeline::new(settings, self.random.next(), self.now.wall),
        };
        pipeline.cover(&self.spool.found());
        pipeline.adopt(&self.spool.found());
        self.pipeline = Some(pipeline);
        self.list_all();
        self.pump();
    }
}
