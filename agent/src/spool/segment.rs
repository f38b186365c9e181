//! One file of the spool, version 1:
//!
//! | part | bytes |
//! |---|---|
//! | first line | `platform-agent spool 1 <crc32> <length>\n`: CRC-32 (8 hex digits) and length (decimal) of all that follows |
//! | second line | JSON: `{"containers":["<64 hex digits>",…],"bodies":[{"entries":n,"bytes":n},…]}\n` |
//! | the rest | one gzip stream (RFC 1952): the bodies, one behind the other, as long as the second line says |
//!
//! Bodies are PutLogs requests as they are sent, not signed. A file of another version, length or
//! checksum is refused whole.

use std::io::{BufRead, Read, Write};
use std::sync::Arc;

use agent_core::ContainerId;
use agent_core::limits::BATCH_BYTES_LIMIT;
use agent_core::spool::Body;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

const MAGIC: &str = "platform-agent spool";
const VERSION: u32 = 1;
/// Bisected bodies repeat their frames.
const BODIES_BYTES_MAX: u64 = 4 * BATCH_BYTES_LIMIT as u64;
/// Both lines in front of the bodies: far more than 10,000 containers take.
const HEADER_BYTES_MAX: u64 = 4 << 20;

/// What the second line says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Ids of those whose entries are in it.
    pub containers: Vec<String>,
    bodies: Vec<BodyHeader>,
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
    #[error("the segment has format version {0}, this release reads {VERSION}")]
    Version(u32),
}

fn damaged(what: impl ToString) -> SegmentError {
    SegmentError::Damaged(what.to_string())
}

/// The bytes of a segment.
pub fn encode(containers: &[ContainerId], bodies: &[Body]) -> Vec<u8> {
    let header = Header {
        containers: containers.iter().map(ContainerId::to_string).collect(),
        bodies: bodies
            .iter()
            .map(|body| BodyHeader {
                entries: body.entries,
                bytes: body.bytes.len() as u64,
            })
            .collect(),
    };
    let mut rest = serde_json::to_vec(&header).unwrap_or_default();
    rest.push(b'\n');
    let mut gzip = GzEncoder::new(rest, Compression::fast());
    // Writing into memory does not fail; if it did, the checksum would not be found right.
    for body in bodies {
        let _ = gzip.write_all(&body.bytes);
    }
    let rest = gzip.finish().unwrap_or_default();
    let mut file = first_line(&rest).into_bytes();
    file.extend_from_slice(&rest);
    file
}

fn first_line(rest: &[u8]) -> String {
    let crc = crc32fast::hash(rest);
    format!("{MAGIC} {VERSION} {crc:08x} {}\n", rest.len())
}

/// Reads what stands in front of the bodies; nothing is checked by that but the form.
///
/// # Errors
/// When it is not a segment that this release reads.
pub fn header(file: impl Read) -> Result<Header, SegmentError> {
    let mut file = std::io::BufReader::new(file.take(HEADER_BYTES_MAX));
    let mut line = Vec::new();
    file.read_until(b'\n', &mut line).map_err(damaged)?;
    version(&line)?;
    line.clear();
    file.read_until(b'\n', &mut line).map_err(damaged)?;
    serde_json::from_slice(&line).map_err(damaged)
}

fn version(line: &[u8]) -> Result<(), SegmentError> {
    let line = std::str::from_utf8(line).map_err(damaged)?;
    let fields = line
        .strip_prefix(MAGIC)
        .ok_or_else(|| damaged("no segment"))?;
    let version = fields.split_ascii_whitespace().next();
    match version.and_then(|version| version.parse().ok()) {
        Some(VERSION) => Ok(()),
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
    version(first)?;
    if first != first_line(rest).as_bytes() {
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
    use super::*;

    /// Kept for ever: what the first release wrote.
    const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/spool-v1");

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

    fn sample() -> Vec<u8> {
        encode(&[ContainerId([7; 32]), ContainerId([9; 32])], &bodies())
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
    }

    #[test]
    fn t58_format_1_is_read_for_ever() {
        assert_eq!(texts(&decode(FIXTURE).unwrap()), texts(&bodies()));
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
        let text = String::from_utf8_lossy(&sample()[..40]).replace("spool 1", "spool 2");
        assert_eq!(
            decode(text.as_bytes()).unwrap_err(),
            SegmentError::Version(2)
        );
    }
}
