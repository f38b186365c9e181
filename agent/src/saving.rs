//! The thread that saves: losses first, then the checkpoint that forgets them.

use std::io;
use std::sync::mpsc::Receiver;

use agent_core::SaveId;
use agent_core::ledger::Ledger;

use crate::ledger::LedgerFile;
use crate::shard::Parts;
use crate::store::Store;

/// A checkpoint to be saved.
#[derive(Debug)]
pub struct Save {
    /// Whose.
    pub pipeline: usize,
    /// Its number.
    pub id: SaveId,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Losses told since those of the last one that was saved.
    pub losses: Ledger,
}

/// What became of it: all losses there are, if there were new ones; `None` if it is not on the disk.
pub type Saved = Option<Option<Ledger>>;

/// Saves what comes until the channel is closed, and tells each pipeline whether its checkpoint is
/// on the disk; fsync may take long, so this has a thread of its own.
pub fn run(
    store: &Store,
    file: &LedgerFile,
    mut parts: Parts,
    saves: &Receiver<Save>,
    answer: impl Fn(usize, SaveId, Saved),
) {
    while let Ok(first) = saves.recv() {
        let mut answers = Vec::new();
        let mut losses = Ledger::default();
        for save in std::iter::once(first).chain(saves.try_iter()) {
            answers.push((save.pipeline, save.id));
            parts.put(save.pipeline, save.bytes);
            losses.absorb(save.losses);
        }
        let saved = one(store, file, &parts, &losses);
        parts.are_done();
        if let Err(error) = &saved {
            tracing::error!("the checkpoint cannot be saved: {error}");
        }
        let saved = saved.ok();
        for (pipeline, id) in answers {
            // The others show what they lost themselves.
            let all = |all: &Option<Ledger>| all.clone().filter(|_| pipeline == 0);
            answer(pipeline, id, saved.as_ref().map(all));
        }
    }
}

fn one(
    store: &Store,
    file: &LedgerFile,
    parts: &Parts,
    losses: &Ledger,
) -> io::Result<Option<Ledger>> {
    let whole = parts.whole().map_err(io::Error::other)?;
    let all = match losses.is_empty() {
        true => None,
        false => Some(file.add(losses)?),
    };
    store.save(&whole)?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use agent_core::ledger::Record;

    use super::*;

    #[test]
    fn t67_a_checkpoint_is_not_saved_before_its_losses_are() {
        let root = tempfile::tempdir().unwrap();
        let (store, file) = (
            Store::open(root.path()).unwrap(),
            LedgerFile::new(root.path()),
        );
        let mut losses = Ledger::default();
        losses.add(Record {
            container: "ab".to_owned(),
            name: "web".to_owned(),
            generation: "0".to_owned(),
            from: 0,
            to: None,
            bound: "at_least".to_owned(),
            reason: "removed".to_owned(),
            told_at: String::new(),
            last_time: String::new(),
            first_lost_time: String::new(),
            next_time: String::new(),
        });
        let bytes = b"forgets it".to_vec();
        let parts = Parts::new(vec![bytes.clone()]);
        let save = || one(&store, &file, &parts, &losses);
        // A folder where the new ledger should be.
        let in_the_way = root.path().join("ledger.new");
        std::fs::create_dir(&in_the_way).unwrap();
        assert!(save().is_err());
        assert_eq!(store.load().unwrap(), []);
        std::fs::remove_dir(&in_the_way).unwrap();
        assert_eq!(save().unwrap(), Some(losses.clone()));
        assert_eq!(store.load().unwrap()[0].bytes, bytes);
        // Told again, after a kill: it is one.
        assert_eq!(save().unwrap(), Some(losses.clone()));
    }
}
