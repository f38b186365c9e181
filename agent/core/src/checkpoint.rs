//! The checkpoint file: what is accepted, by container, generation and stream.
//!
//! Format, version 1: one header line `platform-agent checkpoint 1 <crc32> <length>\n` (CRC-32 of
//! the body as 8 hex digits, the body's length in bytes as decimal), then the body: JSON as the
//! types below. A file of another version, length or checksum is refused whole.

use serde::{Deserialize, Serialize, Serializer};

use crate::entry::GenerationId;
use crate::inflight::GroupMark;

const MAGIC: &str = "platform-agent checkpoint";
/// The version written, and the only one read.
pub const VERSION: u32 = 1;
/// Room for the longest header line.
const HEADER_BYTES_MAX: usize = MAGIC.len() + 64;

/// Why bytes are not a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointError {
    /// Not a checkpoint, or not a whole one.
    Damaged(String),
    /// Written by another release.
    Version(u32),
}

impl std::fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Damaged(what) => write!(f, "checkpoint is damaged: {what}"),
            Self::Version(found) => write!(
                f,
                "checkpoint has format version {found}, this release reads {VERSION}: \
                 run the release that wrote it"
            ),
        }
    }
}

impl std::error::Error for CheckpointError {}

/// A file of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationState {
    /// As in entry ids.
    pub id: GenerationId,
    /// Where the first line starts.
    pub head_offset: u64,
    /// Its length.
    pub head_len: u32,
    /// Its hash.
    pub head_hash: u64,
    /// The first line is a whole Docker line.
    pub head_complete: bool,
    /// The first line that is not like it (offset, length, hash), where it is not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<(u64, u32, u64)>,
    /// Older generations with the same first line.
    pub twin: u32,
    /// Committed offset of stdout and of stderr.
    pub committed: [u64; 2],
    /// Length and hash of the line that ends at both offsets, where the first line is not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<(u32, u64)>,
    /// Bytes known to be there.
    pub size: u64,
    /// `size` is all there will ever be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sealed: bool,
    /// Nothing will be appended.
    pub closed: bool,
    /// Read to its end, which is `size`.
    pub finished: bool,
    /// What dates lines at its start that are not Docker's, when it does not begin with a whole
    /// Docker line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub start_time: String,
    /// Time of the last line in front of the committed offsets, where more may follow.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_time: String,
    /// Device, inode, size on disk, time of change in nanoseconds, and `.gz` or not, as last seen.
    pub evidence: Option<(u64, u64, u64, u64, bool)>,
    /// When the inode was made, in nanoseconds; 0 when that is not known.
    #[serde(default)]
    pub born: u64,
    /// It comes right after the one in front of it in this list (or, as the first, after one that
    /// is accepted and forgotten): no file was between them.
    #[serde(default)]
    pub follows: bool,
}

/// A container's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerState {
    /// 64 hex digits.
    pub id: String,
    /// Name when last seen.
    pub name: String,
    /// It was there at the very first start.
    pub old: bool,
    /// Time of the last line committed.
    pub last_time: String,
    /// Lines of which parts are committed, by stream.
    pub groups: [Option<GroupMark>; 2],
    /// Oldest first.
    pub generations: Vec<GenerationState>,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint<C = Vec<ContainerState>> {
    /// Random number of this state folder.
    pub epoch: u64,
    /// Wall time of the very first start.
    pub first_start: String,
    /// Lines before this are skipped in old containers.
    pub start_cutoff: String,
    /// Containers in the order of their ids.
    pub containers: C,
}

/// Containers that are made while they are written: of thousands, the memory for one.
#[derive(Debug)]
pub struct Streamed<F>(pub F);

impl<F: Fn() -> I, I: Iterator<Item = ContainerState>> Serialize for Streamed<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

fn header(body: &[u8]) -> String {
    let crc = crc32fast::hash(body);
    format!("{MAGIC} {VERSION} {crc:08x} {}", body.len())
}

impl<C: Serialize> Checkpoint<C> {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_sized(0)
    }

    /// The file's bytes, which will be about so many: nothing is copied while they grow.
    pub fn encode_sized(&self, bytes: usize) -> Vec<u8> {
        let mut file = Vec::with_capacity(bytes + HEADER_BYTES_MAX);
        file.resize(HEADER_BYTES_MAX, 0);
        if serde_json::to_writer(&mut file, self).is_err() {
            file.truncate(HEADER_BYTES_MAX);
        }
        let header = header(&file[HEADER_BYTES_MAX..]) + "\n";
        let start = HEADER_BYTES_MAX - header.len();
        file[start..HEADER_BYTES_MAX].copy_from_slice(header.as_bytes());
        file.drain(..start);
        file
    }
}

impl Checkpoint {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// When a byte is missing or wrong, or the file is of another version.
    pub fn decode(file: &[u8]) -> Result<Self, CheckpointError> {
        let damaged = |what: &str| CheckpointError::Damaged(what.to_owned());
        let end = memchr::memchr(b'\n', file).ok_or_else(|| damaged("no header"))?;
        let header = std::str::from_utf8(&file[..end]).map_err(|_| damaged("no header"))?;
        let fields = header
            .strip_prefix(MAGIC)
            .ok_or_else(|| damaged("not a checkpoint"))?;
        let mut fields = fields.split_ascii_whitespace();
        let version = fields.next().and_then(|field| field.parse().ok());
        match version.ok_or_else(|| damaged("no version"))? {
            VERSION => {}
            other => return Err(CheckpointError::Version(other)),
        }
        let body = &file[end + 1..];
        let len = fields.nth(1).and_then(|field| field.parse::<usize>().ok());
        if len != Some(body.len()) {
            return Err(damaged("it is cut short"));
        }
        if header != self::header(body) {
            return Err(damaged("its checksum is wrong"));
        }
        serde_json::from_slice(body).map_err(|error| damaged(&error.to_string()))
    }
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
