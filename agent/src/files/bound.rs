//! How many descriptors are held, and how much disk they hold up.

use std::os::unix::fs::MetadataExt;

use agent_core::FileHandle;

use super::{Entry, Files};

/// This part of the bound is shut at once.
const AT_ONCE: usize = 16;

impl Files {
    /// Descriptors open now.
    pub fn open_count(&self) -> usize {
        self.open_now
    }

    /// Shuts the least recently used descriptors until one more fits under `max`, and some more,
    /// so that it is not done for every file. Those without a name come last, since they cannot
    /// be opened again.
    pub(super) fn make_room(&mut self, max: usize, among: impl Fn(&Entry) -> bool) {
        if self.open_now < max {
            return;
        }
        let mut open: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.open.is_some() && among(entry))
            .map(|(handle, entry)| (entry.used, *handle))
            .collect();
        if open.len() < max {
            return;
        }
        open.sort_unstable_by_key(|(used, _)| *used);
        let least = open.len() + 1 - max;
        let (mut shut, mut nameless) = (0, Vec::new());
        for (_, handle) in open {
            if shut == least + max / AT_ONCE {
                break;
            }
            match self.entries.get(&handle) {
                Some(entry) if entry.is_unlinked() => nameless.push(handle),
                _ => {
                    self.shut(handle);
                    shut += 1;
                }
            }
        }
        for handle in nameless.into_iter().take(least.saturating_sub(shut)) {
            if let Some(entry) = self.entries.get(&handle) {
                tracing::warn!(
                    container = %entry.container, file = entry.seen.name,
                    "a deleted log is let go of unread: more than source.max_open_files are held",
                );
            }
            self.shut(handle);
            self.let_go.push(handle);
        }
    }

    /// Deleted files that were let go of at a bound since this was last asked for.
    pub fn take_let_go(&mut self) -> Vec<FileHandle> {
        std::mem::take(&mut self.let_go)
    }

    /// Lets go of deleted files, the least recently used first, until those that remain take no
    /// more than `bytes_max` on disk and `shortage` bytes were given back.
    pub fn bound_held(&mut self, bytes_max: u64, shortage: u64) -> Held {
        let mut held: Vec<_> = self
            .entries
            .iter()
            .filter_map(|(handle, entry)| {
                let metadata = entry.open.as_ref()?.file().metadata().ok()?;
                (metadata.nlink() == 0).then(|| (entry.used, *handle, metadata.blocks() * 512))
            })
            .collect();
        held.sort_unstable();
        let all: u64 = held.iter().map(|(_, _, bytes)| bytes).sum();
        let kept_max = bytes_max.min(all.saturating_sub(shortage));
        let mut kept = all;
        for (_, handle, bytes) in held {
            if kept <= kept_max {
                break;
            }
            let Some(entry) = self.entries.get(&handle) else {
                continue;
            };
            let bound = match kept > bytes_max {
                true => "source.max_held_bytes",
                false => "limits.min_free",
            };
            tracing::warn!(
                container = %entry.container, file = entry.seen.name, bytes,
                "a deleted log is let go of, read or not: {bound}",
            );
            self.shut(handle);
            self.let_go.push(handle);
            kept -= bytes;
        }
        Held {
            kept_bytes: kept,
            freed_bytes: all - kept,
        }
    }
}

/// Disk space of files that have no name any more and live only through our descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Still held.
    pub kept_bytes: u64,
    /// Given back by this look.
    pub freed_bytes: u64,
}
