//! One file of the spool, version 2:
//!
//! | part | bytes |
//! |---|---|
//! | first line | `platform-agent spool 2 <crc32> <length> <crc32 of the second line>\n`: CRC-32 (8 hex digits) and length (decimal) of all that follows, and CRC-32 of the second line with its newline |
//! | second line, the index | JSON: `{"containers":["<64 hex digits>",…],"bodies":[{"entries":n,"bytes":n},…],"covered":[…]}\n` |
//! | the rest | one gzip stream (RFC 1952): the bodies, one behind the other, as long as the index says |
//!
//! Bodies are PutLogs requests as they are sent, not signed. A file of another version, length or
//! checksum is refused whole; but for its index, if the checksum of that is right.
//!
//! `covered` says, by container, which bytes of its log files are in the bodies, as
//! [`agent_core::spool::Covered`] has it:
//!
//! | key | value |
//! |---|---|
//! | `container`, `name` | 64 hex digits, and its name |
//! | `is_first` | `true` if all in front was accepted when this was written; left out if not |
//! | `files` | oldest first: `{"id":n,"from":[n,n],"to":[n,n],"is_whole":true,"last_time":"…"}`: number of the file as in entry ids, the offsets of stdout and stderr where the bodies begin and end, whether the file ends there for good (left out if not), and the time of the last line in front of that (left out if it is not known) |
//! | `groups` | of stdout and stderr, the line that goes on behind the bodies, as in the checkpoint; or null |
//! | `last_time` | time of the last line; left out if there is none |
//!
//! Version 1, which is still read, has neither `covered` nor the third number of the first line.

use std::io::{BufRead, Read, Write};
use std::sync::Arc;

use agent_core::ContainerId;
use agent_core::limits::BATCH_BYTES_LIMIT;
use agent_core::spool::{Body, Covered};
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

const MAGIC: &str = "platform-agent spool";
const VERSION: u32 = 2;
/// What the first release wrote.
const VERSION_1: u32 = 1;
/// Bisected bodies repeat their frames.
const BODIES_BYTES_MAX: u64 = 4 * BATCH_BYTES_LIMIT as u64;
/// Both lines in front of the bodies: more than 10,000 containers take.
const HEADER_BYTES_MAX: u64 = 8 << 20;
/// The second one; what is covered is left out where it would be longer.
const INDEX_BYTES_MAX: u64 = HEADER_BYTES_MAX - 1_024;

/// What the second line says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Ids of those whose entries are in it.
    pub containers: Vec<String>,
    bodies: Vec<BodyHeader>,
    /// Which bytes of their logs; nothing where another release wrote it, or they are too many.
    #[serde(default)]
    pub covered: Vec<Covered>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BodyHeader {
    entries: u32,
    bytes: u64,
}

impl Header {
    /// Entries in all bodies.
    pub fn entries(&self) -> u32 {
        let entries = self.bodies.iter().map(|body| body.entries);
        entries.fold(0, u32::saturating_add)
    }

    /// Length of all bodies.
    pub fn bytes(&self) -> u64 {
        let bytes = self.bodies.iter().map(|body| body.bytes);
        bytes.fold(0, u64::saturating_add)
    }
}

/// Why bytes are not a segment.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// Not one, or not a whole one.
    #[error("the segment is damaged: {0}")]
    Damaged(String),
    /// Written by another release.
    #[error("the segment has format version {0}, this release reads {VERSION_1} and {VERSION}")]
    Version(u32),
}

fn damaged(what: impl ToString) -> SegmentError {
    SegmentError::Damaged(what.to_string())
}

/// The bytes of a segment.
pub fn encode(containers: &[ContainerId], covered: Vec<Covered>, bodies: &[Body]) -> Vec<u8> {
    let mut header = Header {
        containers: containers.iter().map(ContainerId::to_string).collect(),
        bodies: bodies
            .iter()
            .map(|body| BodyHeader {
                entries: body.entries,
                bytes: body.bytes.len() as u64,
            })
            .collect(),
        covered,
    };
    let mut rest = serde_json::to_vec(&header).unwrap_or_default();
    if rest.len() as u64 > INDEX_BYTES_MAX {
        header.covered.clear();
        rest = serde_json::to_vec(&header).unwrap_or_default();
    }
    rest.push(b'\n');
    let mut gzip = GzEncoder::new(rest, Compression::fast());
    // Writing into memory does not fail; if it did, the checksum would not be found right.
    for body in bodies {
        let _ = gzip.write_all(&body.bytes);
    }
    let rest = gzip.finish().unwrap_or_default();
    let mut file = first_line(VERSION, &rest).into_bytes();
    file.extend_from_slice(&rest);
    file
}

fn first_line(version: u32, rest: &[u8]) -> String {
    let crc = crc32fast::hash(rest);
    let index = match version {
        VERSION_1 => String::new(),
        _ => format!(" {:08x}", crc32fast::hash(index_of(rest))),
    };
    format!("{MAGIC} {version} {crc:08x} {}{index}\n", rest.len())
}

/// The second line with its newline.
fn index_of(rest: &[u8]) -> &[u8] {
    let end = rest.iter().position(|&byte| byte == b'\n');
    end.map_or(rest, |end| &rest[..=end])
}

/// Reads what stands in front of the bodies, which may be damaged.
///
/// # Errors
/// When it is not a segment that this release reads, or this part of it is damaged.
pub fn header(file: impl Read) -> Result<Header, SegmentError> {
    let mut file = std::io::BufReader::new(file.take(HEADER_BYTES_MAX));
    let mut line = Vec::new();
    file.read_until(b'\n', &mut line).map_err(damaged)?;
    let version = version(&line)?;
    let crc = std::str::from_utf8(&line).map_err(damaged)?;
    let crc = crc.split_ascii_whitespace().nth(5).map(str::to_owned);
    line.clear();
    file.read_until(b'\n', &mut line).map_err(damaged)?;
    let is_right = crc.is_some_and(|crc| crc == format!("{:08x}", crc32fast::hash(&line)));
    if version != VERSION_1 && !is_right {
        return Err(damaged("the checksum of its index is wrong"));
    }
    serde_json::from_slice(&line).map_err(damaged)
}

fn version(line: &[u8]) -> Result<u32, SegmentError> {
    let line = std::str::from_utf8(line).map_err(damaged)?;
    let fields = line
        .strip_prefix(MAGIC)
        .ok_or_else(|| damaged("no segment"))?;
    let version = fields.split_ascii_whitespace().next();
    match version.and_then(|version| version.parse().ok()) {
        Some(known @ (VERSION_1 | VERSION)) => Ok(known),
        Some(other) => Err(SegmentError::Version(other)),
        None => Err(damaged("no version")),
    }
}

/// The bodies in the bytes of a segment.
///
/// # Errors
/// When a byte is missing or wrong, or the file is of another version.
pub fn decode(file: &[u8]) -> Result<Vec<Body>, SegmentError> {
    let end = file.iter().position(|&byte| byte == b'\n');
    let (first, rest) = file.split_at(end.ok_or_else(|| damaged("no first line"))? + 1);
    let version = version(first)?;
    if first != first_line(version, rest).as_bytes() {
        return Err(damaged("its length or checksum is wrong"));
    }
    let header = header(file)?;
    if header.bytes() > BODIES_BYTES_MAX {
        return Err(damaged("it claims more than was ever written"));
    }
    let second = rest.iter().position(|&byte| byte == b'\n');
    let packed = &rest[second.ok_or_else(|| damaged("no second line"))? + 1..];
    let mut gzip = GzDecoder::new(packed);
    let mut bodies = Vec::with_capacity(header.bodies.len());
    for body in &header.bodies {
        let mut bytes = Vec::new();
        let read = gzip.by_ref().take(body.bytes).read_to_end(&mut bytes);
        if read.map_err(damaged)? as u64 != body.bytes {
            return Err(damaged("it ends early"));
        }
        bodies.push(Body {
            bytes: Arc::new(bytes),
            entries: body.entries,
        });
    }
    match gzip.read(&mut [0]).map_err(damaged)? {
        0 => Ok(bodies),
        _ => Err(damaged("something stands behind its bodies")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use agent_core::entry::GenerationId;
    use agent_core::spool::{CoveredFile, GroupMark};

    use super::*;

    /// Kept for ever: what the first release wrote.
    const FIXTURE_1: &[u8] = include_bytes!("../../tests/fixtures/spool-v1");
    /// Kept for ever, too.
    const FIXTURE_2: &[u8] = include_bytes!("../../tests/fixtures/spool-v2");

    fn bodies() -> Vec<Body> {
        let body = |text: &str, entries| Body {
            bytes: Arc::new(text.as_bytes().to_vec()),
            entries,
        };
        vec![
            body(r#"{"logEntryBatches":[1]}"#, 1),
            body("", 0),
            body("{}\n{}", 7),
        ]
    }

    fn covered() -> Vec<Covered> {
        let group = GroupMark {
            generation: GenerationId(5),
            offset: 700,
            time: "2026-11-25T10:00:00Z".to_owned(),
            next_start: 10_000,
            index: 1,
            piece_start: 0,
        };
        vec![Covered {
            container: ContainerId([7; 32]).to_string(),
            name: "web".to_owned(),
            is_first: true,
            files: vec![
                CoveredFile {
                    id: GenerationId(4),
                    from: [10, 20],
                    to: [600, 600],
                    is_whole: true,
                    last_time: String::new(),
                },
                CoveredFile {
                    id: GenerationId(5),
                    from: [0, 0],
                    to: [700, 900],
                    is_whole: false,
                    last_time: String::new(),
                },
            ],
            groups: [Some(group), None],
            last_time: "2026-11-25T10:00:01Z".to_owned(),
        }]
    }

    fn sample() -> Vec<u8> {
        let containers = [ContainerId([7; 32]), ContainerId([9; 32])];
        encode(&containers, covered(), &bodies())
    }

    fn texts(bodies: &[Body]) -> Vec<(Vec<u8>, u32)> {
        let text = |body: &Body| (body.bytes.to_vec(), body.entries);
        bodies.iter().map(text).collect()
    }

    #[test]
    fn t58_what_is_written_is_read() {
        let file = sample();
        assert_eq!(texts(&decode(&file).unwrap()), texts(&bodies()));
        let header = header(&*file).unwrap();
        assert_eq!((header.entries(), header.bytes()), (8, 28));
        assert_eq!(header.containers, ["07".repeat(32), "09".repeat(32)]);
        assert_eq!(header.covered, covered());
        let mut dated = covered();
        dated[0].files[1].last_time = "2026-11-25T10:00:00Z".to_owned();
        let file = encode(&[ContainerId([7; 32])], dated.clone(), &bodies());
        assert_eq!(super::header(&*file).unwrap().covered, dated);
    }

    #[test]
    fn t58_formats_1_and_2_are_read_for_ever() {
        for (fixture, covered) in [(FIXTURE_1, Vec::new()), (FIXTURE_2, covered())] {
            assert_eq!(texts(&decode(fixture).unwrap()), texts(&bodies()));
            let header = header(fixture).unwrap();
            assert_eq!(header.containers, ["07".repeat(32), "09".repeat(32)]);
            assert_eq!(header.covered, covered);
        }
    }

    #[test]
    fn t58_of_a_damaged_segment_the_index_is_read_if_it_is_whole_and_not_else() {
        let file = sample();
        let first = file.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        let index = first + index_of(&file[first..]).len();
        for at in 0..file.len() {
            let mut wrong = file.clone();
            wrong[at] ^= 0x20;
            assert!(decode(&wrong).is_err(), "byte {at}");
            let read = header(&*wrong).ok().map(|header| header.covered);
            match at {
                at if at >= index => assert_eq!(read, Some(covered()), "byte {at}"),
                at if at >= first => assert_eq!(read, None, "byte {at}"),
                // A wrong sum of the whole says nothing of the index.
                _ => assert!(read.is_none_or(|read| read == covered()), "byte {at}"),
            }
            let cut = header(&file[..at]).ok().map(|header| header.covered);
            assert_eq!(cut.is_some(), at >= index, "cut at {at}");
        }
    }

    #[test]
    fn what_would_be_too_long_an_index_leaves_the_places_out() {
        let mut one = covered().remove(0);
        one.name = "x".repeat(9 << 20);
        let file = encode(&[ContainerId([7; 32])], vec![one], &bodies());
        assert_eq!(header(&*file).unwrap().covered, []);
        assert_eq!(texts(&decode(&file).unwrap()), texts(&bodies()));
    }

    #[test]
    fn t58_every_truncation_and_every_wrong_byte_is_refused() {
        let mut file = sample();
        for len in 0..file.len() {
            assert!(decode(&file[..len]).is_err(), "cut at {len}");
        }
        for at in 0..file.len() {
            file[at] ^= 0x20;
            assert!(decode(&file).is_err(), "byte {at}");
            file[at] ^= 0x20;
        }
    }

    #[test]
    fn t58_another_release_is_named() {
        let text = String::from_utf8_lossy(&sample()[..60]).replace("spool 2", "spool 3");
        assert_eq!(
            decode(text.as_bytes()).unwrap_err(),
            SegmentError::Version(3)
        );
    }
}
