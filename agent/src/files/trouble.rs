//! What cannot be read, and why: told once in the log, and in the status as long as it lasts.

use std::collections::BTreeMap;
use std::fmt::Display;

use agent_core::ContainerId;

/// Stands for a container's folder instead of one of its files.
pub const FOLDER: u64 = 0;

/// Files, by inode, and folders that refuse to be read.
#[derive(Debug, Default)]
pub struct Trouble {
    known: BTreeMap<(ContainerId, u64), String>,
}

impl Trouble {
    /// This file of this container cannot be read.
    pub fn note(&mut self, container: ContainerId, inode: u64, error: &impl Display) {
        let text = error.to_string();
        let known = self.known.entry((container, inode)).or_default();
        if *known != text {
            tracing::warn!(%container, inode, error = text, "cannot be read, will be tried again");
            *known = text;
        }
    }

    /// It can be read.
    pub fn settle(&mut self, container: ContainerId, inode: u64) {
        if self.known.remove(&(container, inode)).is_some() {
            tracing::info!(%container, inode, "can be read again");
        }
    }

    /// Of this container, only the folder and files with these inodes are of interest still.
    pub fn keep(&mut self, container: ContainerId, is_there: impl Fn(u64) -> bool) {
        self.known
            .retain(|(of, inode), _| *of != container || *inode == FOLDER || is_there(*inode));
    }

    /// The container is gone.
    pub fn forget(&mut self, container: ContainerId) {
        self.known.retain(|(of, _), _| *of != container);
    }

    /// Container and reason, one for each file.
    pub fn iter(&self) -> impl Iterator<Item = (ContainerId, &str)> {
        self.known.iter().map(|((id, _), why)| (*id, why.as_str()))
    }
}
