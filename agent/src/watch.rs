//! Hints from inotify: which folders to look at now instead of at the next scan.
//!
//! Names that come, go or change are watched, and of a log that is quiet the next write: a busy one
//! would wake the agent for every line. Hints may be lost or late; looking is the truth.

use std::collections::{BTreeSet, HashMap};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agent_core::ContainerId;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

/// Bytes of events read at once; an event with a name takes up to 272.
const EVENT_BYTES: usize = 16 * 1024;

/// Where something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hint {
    /// A container's folder came or went.
    Containers,
    /// A log file or the description in this container's folder changed its name.
    Folder(ContainerId),
    /// A log file of this container was written to.
    Written(ContainerId),
    /// Events were lost: anything may have happened.
    All,
}

/// What the reading thread saw: a watch and what about it, not yet put into terms of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sighting {
    /// Something about the folder with this watch.
    Watched(i32),
    /// A log in the folder with this watch was written to.
    Written(i32),
    /// The kernel's queue ran over.
    Overflow,
}

/// The watches set, and a thread that reads what they see.
#[derive(Debug)]
pub struct Watch {
    inotify: Arc<OwnedFd>,
    root: Option<i32>,
    containers: HashMap<i32, ContainerId>,
    folders: HashMap<ContainerId, i32>,
    /// Those whose next write is told.
    quiet: BTreeSet<ContainerId>,
    /// What could not be watched at the last try; `None` is the folder of containers.
    unwatched: BTreeSet<Option<ContainerId>>,
    /// The reading thread has ended.
    ended: Arc<AtomicBool>,
}

impl Watch {
    /// Starts to watch. `send` is called with each burst of sightings on a thread of its own,
    /// until it returns false.
    ///
    /// # Errors
    /// When the kernel gives no inotify descriptor or no thread.
    pub fn start(
        send: impl Fn(BTreeSet<Sighting>) -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let inotify = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
        let events = Arc::clone(&inotify);
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                run(&events, &send);
                end.store(true, Ordering::Relaxed);
            })?;
        Ok(Self {
            inotify,
            root: None,
            containers: HashMap::new(),
            folders: HashMap::new(),
            quiet: BTreeSet::new(),
            unwatched: BTreeSet::new(),
            ended,
        })
    }

    /// Watches the folder of containers. Called at every scan: it may have been replaced, or not
    /// have been there before; what is watched already stays so.
    pub fn watch_root(&mut self, path: &Path) {
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        let watch = self.add(None, path, flags);
        if let Some(old) = self.root.filter(|&old| Some(old) != watch) {
            // The kernel has dropped it by itself when the folder is gone.
            let _ = inotify::remove_watch(&self.inotify, old);
        }
        self.root = watch;
    }

    /// Watches a container's folder. Called before it is listed, so that nothing falls between
    /// the two, and again at every scan, as [`Self::watch_root`].
    pub fn watch_folder(&mut self, id: ContainerId, path: &Path) {
        let mut flags = WatchFlags::CREATE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::ONLYDIR;
        flags.set(WatchFlags::MODIFY, self.quiet.contains(&id));
        let Some(watch) = self.add(Some(id), path, flags) else {
            self.quiet.remove(&id);
            return;
        };
        if let Some(old) = self.folders.insert(id, watch).filter(|&old| old != watch) {
            self.containers.remove(&old);
            let _ = inotify::remove_watch(&self.inotify, old);
        }
        self.containers.insert(watch, id);
    }

    /// Watches for the next write to a container's log, too; false when that can not be done.
    pub fn watch_writes(&mut self, id: ContainerId, path: &Path) -> bool {
        self.quiet.insert(id);
        self.watch_folder(id, path);
        self.quiet.contains(&id) && !self.ended.load(Ordering::Relaxed)
    }

    /// There was a write: of the next ones nothing is to be told.
    pub fn ignore_writes(&mut self, id: ContainerId, path: &Path) {
        if self.quiet.remove(&id) {
            self.watch_folder(id, path);
        }
    }

    /// Whose next write is told.
    pub fn quiet(&self) -> Vec<ContainerId> {
        self.quiet.iter().copied().collect()
    }

    /// The container's folder is gone, or of no interest any more.
    pub fn forget(&mut self, id: ContainerId) {
        self.quiet.remove(&id);
        self.unwatched.remove(&Some(id));
        if let Some(watch) = self.folders.remove(&id) {
            self.containers.remove(&watch);
            // The kernel has dropped it by itself when the folder is gone.
            let _ = inotify::remove_watch(&self.inotify, watch);
        }
    }

    /// Whether everything there is to watch is watched.
    pub fn is_whole(&self) -> bool {
        self.unwatched.is_empty() && !self.ended.load(Ordering::Relaxed)
    }

    /// What a sighting means.
    pub fn hint(&self, sighting: Sighting) -> Option<Hint> {
        match sighting {
            Sighting::Overflow => Some(Hint::All),
            Sighting::Watched(watch) if Some(watch) == self.root => Some(Hint::Containers),
            Sighting::Watched(watch) => self.containers.get(&watch).copied().map(Hint::Folder),
            Sighting::Written(watch) => self.containers.get(&watch).copied().map(Hint::Written),
        }
    }

    fn add(&mut self, of: Option<ContainerId>, path: &Path, flags: WatchFlags) -> Option<i32> {
        let was_whole = self.unwatched.is_empty();
        match inotify::add_watch(&self.inotify, path, flags) {
            Ok(watch) => {
                self.unwatched.remove(&of);
                if !was_whole && self.unwatched.is_empty() {
                    tracing::info!("everything is watched again");
                }
                Some(watch)
            }
            Err(Errno::NOENT) => {
                self.unwatched.remove(&of);
                None
            }
            Err(error) => {
                self.unwatched.insert(of);
                if was_whole {
                    let hint = match error {
                        Errno::NOSPC => "raise the sysctl fs.inotify.max_user_watches",
                        _ => "logs are found by scanning alone",
                    };
                    tracing::warn!(path = %path.display(), %error, hint, "cannot watch a folder");
                }
                None
            }
        }
    }
}

fn run(inotify: &OwnedFd, send: &impl Fn(BTreeSet<Sighting>) -> bool) {
    let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
    let mut reader = inotify::Reader::new(inotify, &mut buffer);
    loop {
        let mut burst = BTreeSet::new();
        loop {
            match reader.next() {
                Ok(event) => burst.extend(sighting(&event)),
                Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot read watch events; logs are found by scanning");
                    return;
                }
            }
            if reader.is_buffer_empty() {
                break;
            }
        }
        if !burst.is_empty() && !send(burst) {
            return;
        }
    }
}

fn sighting(event: &inotify::Event<'_>) -> Option<Sighting> {
    if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
        return Some(Sighting::Overflow);
    }
    let name = event.file_name().map(|name| name.to_string_lossy());
    let is_log = name.as_ref().is_some_and(|name| name.contains("-json.log"));
    if event.events().contains(ReadFlags::MODIFY) {
        return is_log.then(|| Sighting::Written(event.wd()));
    }
    // Docker rewrites other files of the folder at every health check.
    let is_telling = event.events().contains(ReadFlags::ISDIR)
        || is_log
        || name.is_none_or(|name| name == "config.v2.json");
    is_telling.then(|| Sighting::Watched(event.wd()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const ID: ContainerId = ContainerId([7; 32]);

    /// Hints until `wanted` is among them.
    fn wait_for(watch: &Watch, bursts: &mpsc::Receiver<BTreeSet<Sighting>>, wanted: Hint) {
        loop {
            let burst = bursts.recv_timeout(Duration::from_secs(20)).unwrap();
            if burst
                .into_iter()
                .any(|sighting| watch.hint(sighting) == Some(wanted))
            {
                return;
            }
        }
    }

    #[test]
    fn names_that_come_and_go_are_told_and_writes_are_not() {
        let root = tempfile::tempdir().unwrap();
        let (sender, bursts) = mpsc::channel();
        let mut watch = Watch::start(move |burst| sender.send(burst).is_ok()).unwrap();
        watch.watch_root(root.path());
        let folder = root.path().join(ID.to_string());
        fs::create_dir(&folder).unwrap();
        wait_for(&watch, &bursts, Hint::Containers);
        watch.watch_folder(ID, &folder);
        fs::write(folder.join("c-json.log"), b"one\n").unwrap();
        wait_for(&watch, &bursts, Hint::Folder(ID));
        // Neither of these is told: the next hint is about what comes after them.
        fs::write(folder.join("c-json.log"), b"two\n").unwrap();
        fs::write(folder.join("hostname"), b"x").unwrap();
        fs::create_dir(root.path().join("other")).unwrap();
        let burst = bursts.recv_timeout(Duration::from_secs(20)).unwrap();
        let hints: Vec<_> = burst
            .into_iter()
            .filter_map(|seen| watch.hint(seen))
            .collect();
        assert_eq!(hints, [Hint::Containers]);
        fs::rename(folder.join("c-json.log"), folder.join("c-json.log.1")).unwrap();
        wait_for(&watch, &bursts, Hint::Folder(ID));
        fs::remove_dir_all(&folder).unwrap();
        wait_for(&watch, &bursts, Hint::Containers);
        watch.forget(ID);
        assert!(watch.is_whole());
    }

    #[test]
    fn of_a_quiet_log_the_next_write_is_told_and_no_more() {
        let root = tempfile::tempdir().unwrap();
        let (sender, bursts) = mpsc::channel();
        let mut watch = Watch::start(move |burst| sender.send(burst).is_ok()).unwrap();
        let folder = root.path().join(ID.to_string());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("c-json.log"), b"one\n").unwrap();
        assert!(watch.watch_writes(ID, &folder));
        // A scan sets the watch again.
        watch.watch_folder(ID, &folder);
        fs::write(folder.join("hostname"), b"x").unwrap();
        fs::OpenOptions::new()
            .append(true)
            .open(folder.join("c-json.log"))
            .and_then(|mut log| std::io::Write::write_all(&mut log, b"two\n"))
            .unwrap();
        // Another file that came is told as such, not as a write to the log.
        wait_for(&watch, &bursts, Hint::Written(ID));
        watch.ignore_writes(ID, &folder);
        fs::write(folder.join("c-json.log"), b"three\n").unwrap();
        fs::rename(folder.join("c-json.log"), folder.join("c-json.log.1")).unwrap();
        let told: Vec<_> = bursts
            .recv_timeout(Duration::from_secs(20))
            .unwrap()
            .into_iter()
            .filter_map(|seen| watch.hint(seen))
            .collect();
        assert_eq!(told, [Hint::Folder(ID)]);
        assert!(!watch.watch_writes(ContainerId([8; 32]), &root.path().join("gone")));
    }

    #[test]
    fn t30_a_queue_that_ran_over_is_told_as_all() {
        let root = tempfile::tempdir().unwrap();
        let (sender, bursts) = mpsc::channel();
        let (release, blocked) = mpsc::channel::<()>();
        let mut watch = Watch::start(move |burst| {
            // The first burst keeps the reading thread until the queue has run over.
            let _ = blocked.recv();
            sender.send(burst).is_ok()
        })
        .unwrap();
        watch.watch_root(root.path());
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let limit: usize = limit.trim().parse().unwrap();
        let path = root.path().join("folder");
        // Two events each, that do not merge; what was read before the block is not queued.
        for _ in 0..limit / 2 + 512 {
            fs::create_dir(&path).unwrap();
            fs::remove_dir(&path).unwrap();
        }
        drop(release);
        wait_for(&watch, &bursts, Hint::All);
        assert!(watch.is_whole());
    }

    #[test]
    fn t73_a_folder_that_was_replaced_is_watched_again() {
        let root = tempfile::tempdir().unwrap();
        let containers = root.path().join("containers");
        let (sender, bursts) = mpsc::channel();
        let mut watch = Watch::start(move |burst| sender.send(burst).is_ok()).unwrap();
        // Not there yet.
        watch.watch_root(&containers);
        for _ in 0..2 {
            fs::create_dir(&containers).unwrap();
            watch.watch_root(&containers);
            fs::create_dir(containers.join("one")).unwrap();
            wait_for(&watch, &bursts, Hint::Containers);
            fs::remove_dir_all(&containers).unwrap();
        }
        assert!(watch.is_whole());
    }
}
