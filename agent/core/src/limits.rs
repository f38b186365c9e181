//! Every bound of the core in one place, with their relations checked at compile time.

use std::time::Duration;

/// Bytes asked for by one read.
pub const CHUNK_BYTES: usize = 256 * 1024;
/// A file that ships no newline for this long is cut here: Docker's longest line is 16 KiB of
/// content, six-fold escaped, plus attributes.
pub const LINE_BYTES_MAX: usize = CHUNK_BYTES;
/// Decoded UTF-8 bytes of one entry's `data`: OCI cuts at "10,000 characters", and bytes are the
/// strictest reading of that.
pub const DATA_BYTES_MAX: usize = 10_000;
/// Room kept in a part for its mark, when marks are on.
pub const PART_MARK_BYTES_MAX: usize = 32;
/// Longest entry id; ids are stored and billed with each line.
pub const ID_BYTES_MAX: usize = 40;
/// Frame around an entry's data: names, quotes, id, time.
pub const ENTRY_FRAME_BYTES_MAX: usize = 128;
/// Most an entry can take in a body: each decoded byte may be a six-byte escape.
pub const ENTRY_BYTES_MAX: usize = DATA_BYTES_MAX * 6 + ENTRY_FRAME_BYTES_MAX;
/// Frame around a LogEntryBatch without its source, type and subject.
pub const SEGMENT_FRAME_BYTES_MAX: usize = 192;
/// Smallest permitted cap of a body.
pub const BATCH_BYTES_MIN: usize = 128 * 1024;
/// Largest permitted cap of a body: what Oracle's own plugin sends at most.
pub const BATCH_BYTES_LIMIT: usize = 9 * 1024 * 1024;
/// So often the same read may fall short of the file's end before the file counts as damaged.
pub const SHORT_READS_MAX: u32 = 16;
/// How often a log is looked at whose next write is told.
pub const WATCHED_INTERVAL: Duration = Duration::from_secs(10);
/// Bytes of a file's start that are read to identify it.
pub const HEAD_BYTES_MAX: usize = LINE_BYTES_MAX;
/// Generations of one container that are remembered, gone ones included.
pub const GENERATIONS_MAX: usize = 1024;

const _: () = {
    assert!(LINE_BYTES_MAX <= CHUNK_BYTES);
    assert!(HEAD_BYTES_MAX <= CHUNK_BYTES);
    assert!(ENTRY_BYTES_MAX + SEGMENT_FRAME_BYTES_MAX < BATCH_BYTES_MIN);
    assert!(BATCH_BYTES_MIN <= BATCH_BYTES_LIMIT);
    assert!(DATA_BYTES_MAX > 2 * PART_MARK_BYTES_MAX);
};
