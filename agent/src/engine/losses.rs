//! Losses between the core, which tells of them, and the disk, where they stay.

use std::time::Duration;

use agent_core::ledger::{Ledger, Record};
use agent_core::{Bound, Event, FileHandle, Loss, LossReason, SaveId, stamp};

use crate::saving::Save;

/// Losses as far as they are known here.
#[derive(Debug, Default)]
pub struct Losses {
    /// All there are.
    all: Ledger,
    /// Told, and not yet to be on the disk.
    told: Vec<(Loss, Record)>,
    /// To be on the disk before the next checkpoint is.
    due: Ledger,
    /// Handed out with a checkpoint of which nothing has been heard.
    handed_out: Ledger,
}

impl Losses {
    /// What is on the disk.
    pub fn new(all: Ledger) -> Self {
        Self {
            all,
            ..Self::default()
        }
    }

    /// All there are.
    pub fn all(&self) -> &Ledger {
        &self.all
    }

    /// The core tells of one.
    pub fn tell(&mut self, loss: &Loss, wall: Duration) {
        let record = Record::new(loss, &stamp::from_wall(wall));
        self.all.add(record.clone());
        self.told.push((loss.clone(), record));
    }

    /// One that was told is to be on the disk before the next checkpoint is.
    pub fn record(&mut self, loss: &Loss) {
        if let Some(at) = self.told.iter().position(|(told, _)| told == loss) {
            self.due.add(self.told.remove(at).1);
        }
    }

    /// A batch in the spool is lost, and nobody knows whose lines were in it.
    pub fn tell_segment(&mut self, number: u64, wall: Duration) {
        let bound = Bound {
            may_be_more: true,
            may_be_less: true,
        };
        let record = Record {
            container: String::new(),
            name: format!("(a batch in the spool, {number:016x})"),
            generation: format!("{number:x}"),
            from: 0,
            to: None,
            bound: bound.as_str().to_owned(),
            reason: LossReason::SpoolDamaged.as_str().to_owned(),
            told_at: stamp::from_wall(wall),
            last_time: String::new(),
            first_lost_time: String::new(),
            next_time: String::new(),
        };
        self.all.add(record.clone());
        self.due.add(record);
    }

    /// What must be on the disk before the checkpoint that is saved now.
    pub fn hand_out(&mut self) -> Ledger {
        self.handed_out.absorb(std::mem::take(&mut self.due));
        self.handed_out.clone()
    }

    /// It was saved; `all` is what the disk has, if there was something new. Else what was handed
    /// out goes with the next one.
    pub fn saved(&mut self, all: Option<Ledger>) {
        self.handed_out = Ledger::default();
        if let Some(mut all) = all {
            all.absorb(self.due.clone());
            let told = self.told.iter().map(|(_, record)| record.clone());
            told.for_each(|record| all.add(record));
            self.all = all;
        }
    }
}

impl super::Engine {
    /// Hands out a checkpoint, with the losses that are to be on the disk before it.
    pub(super) fn save(&mut self, id: SaveId, bytes: Vec<u8>) {
        let save = Save {
            pipeline: self.shard.index,
            id,
            bytes,
            losses: self.losses.hand_out(),
        };
        if self.saves.send(save).is_err() {
            self.tell(Event::SaveFailed(id));
        }
    }

    /// Tells the core which deleted files were let go of.
    pub(super) fn tell_let_go(&mut self) {
        let handles: Vec<FileHandle> = self.files.take_let_go();
        for handle in handles {
            self.tell(Event::LetGo(handle));
        }
    }
}
