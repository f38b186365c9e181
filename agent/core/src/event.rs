//! What the shell tells the core, and what the core asks of the shell.
//!
//! The shell calls [`crate::Pipeline::handle`] with one [`Event`] at a time and then takes
//! [`Action`]s from [`crate::Pipeline::poll_action`] until there are none. Time is an argument.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::loss::Loss;
use crate::spool::{Body, Covered, Unspooled};

/// The two clocks, read by the shell just before each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since the agent's start: everything that waits, waits on this.
    pub mono: Duration,
    /// Wall time since 1970-01-01 UTC. It may jump; it is only compared with times in the data.
    pub wall: Duration,
}

/// A container's full id: the 64 hex digits of its folder's name, as bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(pub [u8; 32]);

impl ContainerId {
    /// Parses 64 lower-case hex digits; anything else is not a container's folder.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut id = [0u8; 32];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (nibble(pair[0])? << 4) | nibble(pair[1])?;
        }
        Some(Self(id))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&hex).unwrap_or_default())
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..6]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Names one file (one inode) to the shell. A number is never given to another file while the
/// shell holds a descriptor on it; once it is closed, only its bytes prove what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileHandle(pub u64);

/// Names one request body from the moment it is sealed until it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// Names one version of the checkpoint; later versions have higher numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SaveId(pub u64);

impl SaveId {
    /// The first checkpoint of a state folder.
    pub const FIRST: Self = Self(1);
}

/// What the shell knows of a container besides its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// Its name without the leading slash; the short id until the name is known.
    pub name: String,
    /// When it was created (`Created` of config.v2.json), RFC 3339 in UTC; stands in where a
    /// malformed first line has no earlier line to take its time from. Empty when unknown.
    pub created: String,
    /// True once its folder is gone: nothing will be appended and nothing new will appear.
    pub removed: bool,
    /// Log files that rotation keeps, the current one included (`max-file`); 0 when its log is not
    /// rotated, or that is not known.
    pub files_max: u32,
}

/// One file of a container's log as a look at its folder found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The shell's name for the inode.
    pub handle: FileHandle,
    /// 0 for the current file, n for `.n` or `.n.gz`.
    pub position: u32,
    /// The name ends in `.gz`.
    pub compressed: bool,
    /// st_dev.
    pub device: u64,
    /// st_ino.
    pub inode: u64,
    /// st_size, bytes on disk.
    pub size: u64,
    /// st_mtime, since 1970-01-01.
    pub modified: Duration,
    /// When the inode was made (statx `stx_btime`), since 1970-01-01; zero where the file system
    /// does not tell. With device and inode it names a file for as long as it lives.
    pub born: Duration,
    /// The shell has held a descriptor on this inode ever since it gave out `handle`.
    pub held: bool,
}

/// One stable look at a container's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Whose folder.
    pub container: Container,
    /// Its log files in any order; a rename chain may be half done in it.
    pub files: Vec<Listed>,
    /// The folder changed all the time: a file may be missing here, or have two names.
    pub unstable: bool,
}

/// Why a file could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// No file with this handle's inode is to be found any more.
    Gone,
    /// Its first line is not what it was, or it is shorter than what was read: another file's
    /// bytes are there now (truncated, copytruncate, inode reused).
    Replaced,
    /// The gzip stream is damaged or ends too early.
    Torn,
    /// Any other error (EIO, EACCES, ESTALE, no descriptors): worth another try later.
    Io,
}

/// What became of one attempt to send a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service took it (2xx).
    Accepted,
    /// The service or the way to it is failing for now: connection, timeout, 429, 5xx.
    Unavailable {
        /// The service's `Retry-After`, when it sent one.
        retry_after: Option<Duration>,
    },
    /// The service refuses this body: 400, 413.
    Refused,
    /// The service refuses us, whatever the body: 401, 403, 404. An operator's matter.
    Denied,
}

/// Something happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A container's folder was looked at.
    Listing(Listing),
    /// The answer to [`Action::Read`].
    Chunk {
        /// The file that was read.
        handle: FileHandle,
        /// Where the bytes stand in the (uncompressed) file.
        offset: u64,
        /// The bytes; fewer than asked for, or none, at the file's present end.
        bytes: &'a [u8],
        /// Bytes of a sparse hole that was skipped in front of `bytes`: `offset` is behind it.
        hole_bytes: u64,
        /// The read met the end of the file (for gzip: the intact end of the stream).
        end: bool,
        /// The descriptor has been held ever since `handle` was given out: it is that file.
        held: bool,
        /// st_mtime when the file was read, since 1970-01-01.
        modified: Duration,
    },
    /// [`Action::Read`] failed.
    ReadFailed {
        /// The file.
        handle: FileHandle,
        /// Why.
        error: ReadError,
    },
    /// The answer to [`Action::Send`].
    Sent {
        /// The batch.
        batch: BatchId,
        /// What became of it.
        outcome: Outcome,
    },
    /// The answer to [`Action::Quarantine`].
    Quarantined {
        /// The batch.
        batch: BatchId,
        /// It is on disk, fsynced, folder included; else it is tried again later.
        stored: bool,
    },
    /// The answer to [`Action::Spool`].
    Spooled {
        /// The batch.
        batch: BatchId,
        /// It is on disk, fsynced, folder included; else it stays in memory.
        stored: bool,
    },
    /// The answer to [`Action::Unspool`].
    Unspooled {
        /// The batch.
        batch: BatchId,
        /// What the spool has of it.
        found: Unspooled,
    },
    /// The service was asked the time, or answered a request: its `Date`, since 1970-01-01; `None`
    /// when it did not answer, or said none.
    ServiceTime(Option<Duration>),
    /// The shell let go of a deleted file at a bound that the operator set: what is not read of it
    /// never will be.
    LetGo(FileHandle),
    /// The answer to [`Action::Watch`], where it can be done: every write from now on is told.
    Watched(ContainerId),
    /// The log of a watched container was written to. It is watched no more.
    Written(ContainerId),
    /// Everything up to this checkpoint is on disk, fsynced, folder included.
    Saved(SaveId),
    /// This checkpoint is not on disk; the previous one still is.
    SaveFailed(SaveId),
    /// Stop reading; send what is in memory.
    Drain,
    /// Nothing but the time.
    Tick,
}

/// The bytes of [`Event::Chunk`].
#[derive(Clone, Copy)]
pub(crate) struct Chunk<'a> {
    pub handle: FileHandle,
    pub offset: u64,
    pub bytes: &'a [u8],
    pub hole_bytes: u64,
    pub end: bool,
    pub held: bool,
    pub modified: Duration,
}

/// The start of a file, to be compared with the file whenever it is read: bytes are only worth
/// anything if the file still begins with its first line *after* they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Length of the first line with its newline (or of all the bytes of a finished file).
    pub len: u32,
    /// [`crate::file_id::head_hash`] of those bytes.
    pub hash: u64,
    /// Where the first line starts: behind the NULs that a truncation may have left.
    pub offset: u64,
}

/// The shell is to do this.
#[derive(Debug)]
pub enum Action {
    /// Read up to `len` bytes at `offset` and answer with [`Event::Chunk`] or
    /// [`Event::ReadFailed`]; at most one read is under way.
    Read {
        /// Whose file.
        container: ContainerId,
        /// The file.
        handle: FileHandle,
        /// Offset in the uncompressed bytes.
        offset: u64,
        /// Most bytes wanted.
        len: u32,
        /// To be verified after the bytes were read; `None` while it is not known.
        head: Option<Head>,
    },
    /// The file is read to its end (or given up): its descriptor is not needed any more.
    Close {
        /// The file.
        handle: FileHandle,
    },
    /// Look at this container's folder again and answer with [`Event::Listing`].
    List(ContainerId),
    /// Nothing is written to this container's log: answer with [`Event::Watched`] if the next write
    /// can be told by [`Event::Written`], else not at all.
    Watch(ContainerId),
    /// Sign and send this body, once; answer with [`Event::Sent`].
    Send {
        /// The batch.
        batch: BatchId,
        /// 1 for the first attempt.
        attempt: u32,
        /// One PutLogs body. It does not change between attempts.
        body: Arc<Vec<u8>>,
        /// Entries in it.
        entries: u32,
    },
    /// The service refuses this entry and accepts others: keep it, with the answer, and answer with
    /// [`Event::Quarantined`].
    Quarantine {
        /// The batch it was in.
        batch: BatchId,
        /// One PutLogs body with one entry.
        body: Arc<Vec<u8>>,
    },
    /// Keep this batch on disk and answer with [`Event::Spooled`]; at most one is under way.
    Spool {
        /// The batch.
        batch: BatchId,
        /// Whose entries are in it.
        containers: Vec<ContainerId>,
        /// What of their logs it holds: to be kept with it.
        covered: Vec<Covered>,
        /// Its bodies, first to last.
        bodies: Vec<Body>,
    },
    /// Read this batch from the spool and answer with [`Event::Unspooled`]; at most one is under
    /// way.
    Unspool(BatchId),
    /// The batch is settled: whatever the shell keeps for it can go, in the spool too. One that was
    /// found damaged is set aside there: its loss is in the ledger.
    Forget(BatchId),
    /// Make this checkpoint durable; answer with [`Event::Saved`] or [`Event::SaveFailed`].
    /// At most one is under way.
    Save {
        /// Its number.
        id: SaveId,
        /// The file's bytes.
        bytes: Vec<u8>,
    },
    /// Something the operator should read: counted, and logged by the shell.
    Report(Notice),
    /// This loss, which was reported, goes into the ledger: on disk, fsynced, before the checkpoint
    /// is that is saved next.
    Record(Loss),
}

/// What the core has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Bytes are gone that were never shipped.
    Lost(Loss),
    /// A damaged compressed file; said once a file.
    Torn {
        /// Whose.
        container: ContainerId,
        /// Its position (`.n.gz`).
        position: u32,
    },
    /// The spool did not keep a batch that counts as shipped. What is known of whose lines were in
    /// it is told with [`Notice::Lost`].
    SpoolDamaged {
        /// The batch.
        batch: BatchId,
        /// Entries in it: all of them are lost, but for those that had arrived.
        entries: u32,
        /// Nothing is known of whose they are.
        is_nameless: bool,
    },
    /// A container's log begins here: `resumed` is false for one never seen before.
    Opened {
        /// Whose.
        container: ContainerId,
        /// Generations known.
        generations: u32,
        /// True when a checkpoint knew the container.
        resumed: bool,
    },
}
