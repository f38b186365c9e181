//! The thread that saves: losses first, then the checkpoint that forgets them.

use std::io;
use std::sync::mpsc::Receiver;

use agent_core::SaveId;
use agent_core::ledger::Ledger;

use crate::ledger::LedgerFile;
use crate::store::Store;

/// A checkpoint to be saved.
#[derive(Debug)]
pub struct Save {
    /// Its number.
    pub id: SaveId,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Losses told since those of the last one that was saved.
    pub losses: Ledger,
}

/// What became of it: all losses there are, if there were new ones.
pub type Saved = Result<Option<Ledger>, io::Error>;

/// Saves what comes until the channel is closed, answering each; fsync may take long, so this
/// has a thread of its own.
pub fn run(
    store: &Store,
    file: &LedgerFile,
    saves: &Receiver<Save>,
    answer: impl Fn(SaveId, Saved) -> bool,
) {
    while let Ok(save) = saves.recv() {
        if !answer(save.id, one(store, file, &save)) {
            return;
        }
    }
}

fn one(store: &Store, file: &LedgerFile, save: &Save) -> Saved {
    let all = match save.losses.is_empty() {
        true => None,
        false => Some(file.add(&save.losses)?),
    };
    store.save(&save.bytes)?;
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
        let save = Save {
            id: SaveId::FIRST,
            bytes: b"forgets it".to_vec(),
            losses: losses.clone(),
        };
        // A folder where the new ledger should be.
        let in_the_way = root.path().join("ledger.new");
        std::fs::create_dir(&in_the_way).unwrap();
        assert!(one(&store, &file, &save).is_err());
        assert_eq!(store.load().unwrap(), []);
        std::fs::remove_dir(&in_the_way).unwrap();
        assert_eq!(one(&store, &file, &save).unwrap(), Some(losses.clone()));
        assert_eq!(store.load().unwrap()[0].bytes, save.bytes);
        // Told again, after a kill: it is one.
        assert_eq!(one(&store, &file, &save).unwrap(), Some(losses));
    }
}
