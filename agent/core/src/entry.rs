//! Entry ids, and one OCI LogEntry written into a body.
//!
//! An id is `container(10) generation(12) offset(8)`, and for a part of a joined or split line
//! `start(7) length(3)` behind it: base 32 digits in ASCII order, most significant first, so that
//! ids sort as the lines stand in their file. Same id, same bytes: an id without a part is the one
//! complete Docker line at that offset; one with a part names the piece that began the line, where
//! the part starts in its decoded text, how long it is, and whether it is the last.
//!
//! A gap marker's id is `container(10) generation(12) offset(8) hash(9)`: the offset is that of the
//! first byte lost, the hash that of the marker's text and time.

use crate::event::ContainerId;
use crate::file_id::head_hash;
use crate::limits::ID_BYTES_MAX;
use crate::stamp;

const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
const CONTAINER: usize = 10;
const GENERATION: usize = 12;
const OFFSET: usize = 8;
const START: usize = 7;
const LENGTH: usize = 3;
/// Of a gap marker: one less than a part's id has, which tells them apart.
const GAP_HASH: usize = START + LENGTH - 1;
const PREFIX: usize = CONTAINER + GENERATION;
const LAST: u64 = 1 << 14;

const _: () = {
    assert!(PREFIX + OFFSET + START + LENGTH == ID_BYTES_MAX);
    assert!(crate::limits::DATA_BYTES_MAX < LAST as usize);
};

/// Names a generation within its container; the same for the same file on every start.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct GenerationId(pub u64);

impl GenerationId {
    /// Bits that are kept.
    pub const MASK: u64 = (1 << (5 * GENERATION)) - 1;
}

impl std::fmt::Display for GenerationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = [0; GENERATION];
        digits(self.0, &mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Generation and offset of the line that an entry's id names.
pub fn entry_place(id: &str) -> Option<(String, u64)> {
    let generation = id.get(CONTAINER..PREFIX)?;
    let offset = u64::from_str_radix(id.get(PREFIX..PREFIX + OFFSET)?, 32).ok()?;
    Some((generation.to_owned(), offset))
}

/// The start that all ids of one generation share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdPrefix([u8; PREFIX]);

impl IdPrefix {
    /// For this container's generation.
    pub fn new(container: ContainerId, generation: GenerationId) -> Self {
        let mut prefix = [0; PREFIX];
        let (left, right) = prefix.split_at_mut(CONTAINER);
        let head = container
            .0
            .iter()
            .take(8)
            .fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
        digits(head >> (64 - 5 * CONTAINER), left);
        digits(generation.0, right);
        Self(prefix)
    }
}

/// Where a part stands in the decoded text of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First byte of the part in the decoded line.
    pub start: u64,
    /// Its decoded length.
    pub len: usize,
    /// 0 for the first part.
    pub index: u32,
    /// No other part follows.
    pub last: bool,
}

/// How entries are written.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Keep nanoseconds.
    pub nanoseconds: bool,
    /// Append ` [part 3]` or ` [part 4, last]` to the text of parts of a split line.
    pub part_marks: bool,
}

/// One entry to be written.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Container and generation.
    pub prefix: &'a IdPrefix,
    /// Offset of the line, or of its first piece.
    pub offset: u64,
    /// Which part of it, unless it is one complete Docker line.
    pub part: Option<Part>,
    /// A valid JSON string body.
    pub text: &'a [u8],
    /// A valid Docker time.
    pub time: &'a [u8],
}

/// Appends `{"data":"…","id":"…","time":"…"}`.
#[inline]
pub fn write(out: &mut Vec<u8>, style: Style, entry: &Entry<'_>) {
    let Entry {
        prefix,
        offset,
        part,
        text,
        time,
    } = *entry;
    out.extend_from_slice(b"{\"data\":\"");
    out.extend_from_slice(text);
    if let Some(part) = part
        && style.part_marks
        && !(part.index == 0 && part.last)
    {
        let last = if part.last { ", last" } else { "" };
        out.extend_from_slice(format!(" [part {}{last}]", part.index + 1).as_bytes());
    }
    if part.is_none()
        && !style.nanoseconds
        && let Some((micros, [_, ..])) = time.split_first_chunk::<{ stamp::MICROS_LEN }>()
    {
        // Nearly every line: all behind the text is of one length, and is copied in one piece.
        let mut end = *END;
        end[END_ID..END_ID + PREFIX].copy_from_slice(&prefix.0);
        end[END_ID + PREFIX..][..OFFSET].copy_from_slice(&eight_digits(offset));
        end[END_TIME..][..stamp::MICROS_LEN].copy_from_slice(micros);
        return out.extend_from_slice(&end);
    }
    out.extend_from_slice(b"\",\"id\":\"");
    let mut id = [0; ID_BYTES_MAX];
    id[..PREFIX].copy_from_slice(&prefix.0);
    id[PREFIX..PREFIX + OFFSET].copy_from_slice(&eight_digits(offset));
    match part {
        None => out.extend_from_slice(&id[..PREFIX + OFFSET]),
        Some(part) => {
            digits(
                part.start,
                &mut id[PREFIX + OFFSET..PREFIX + OFFSET + START],
            );
            let length = part.len as u64 | if part.last { LAST } else { 0 };
            digits(length, &mut id[PREFIX + OFFSET + START..]);
            out.extend_from_slice(&id);
        }
    }
    end(out, style, time);
}

fn end(out: &mut Vec<u8>, style: Style, time: &[u8]) {
    out.extend_from_slice(b"\",\"time\":\"");
    if style.nanoseconds {
        out.extend_from_slice(time);
    } else {
        stamp::write_micros(time, out);
    }
    out.extend_from_slice(b"\"}");
}

/// All that stands behind the text of a whole line with a time of six digits or more.
const END: &[u8; 77] =
    br#"","id":"                              ","time":"                          Z"}"#;
const END_ID: usize = 8;
const END_TIME: usize = 48;

/// [`digits`] of the lowest 40 bits: five bits are spread to each byte, and all bytes become
/// digits at once.
#[inline]
fn eight_digits(value: u64) -> [u8; OFFSET] {
    let bits = value & ((1 << 40) - 1);
    let bits = (bits & 0x00ff_fff0_0000) << 12 | (bits & 0x000f_ffff);
    let bits = (bits & 0x000f_fc00_000f_fc00) << 6 | (bits & 0x0000_03ff_0000_03ff);
    let bits = (bits & 0x03e0_03e0_03e0_03e0) << 3 | (bits & 0x001f_001f_001f_001f);
    const ONES: u64 = 0x0101_0101_0101_0101;
    let letters = ((bits + (128 - 10) * ONES) >> 7) & ONES;
    let letter_gap = u64::from(b'a' - b'0' - 10);
    (bits + u64::from(b'0') * ONES + letter_gap * letters).to_be_bytes()
}

/// A gap marker.
#[derive(Clone, Copy, Debug)]
pub struct Gap<'a> {
    /// Container and generation.
    pub prefix: &'a IdPrefix,
    /// First byte lost.
    pub offset: u64,
    /// A valid JSON string body.
    pub text: &'a [u8],
    /// A valid Docker time.
    pub time: &'a [u8],
}

/// Appends a marker; its id holds a hash of what it says, so that the same id is the same bytes.
pub fn write_gap(out: &mut Vec<u8>, style: Style, gap: &Gap<'_>) {
    let mut hash = [0; GAP_HASH];
    digits(head_hash(&[gap.text, b"\n", gap.time].concat()), &mut hash);
    out.extend_from_slice(b"{\"data\":\"");
    out.extend_from_slice(gap.text);
    out.extend_from_slice(b"\",\"id\":\"");
    out.extend_from_slice(&gap.prefix.0);
    out.extend_from_slice(&eight_digits(gap.offset));
    out.extend_from_slice(&hash);
    end(out, style, gap.time);
}

#[inline]
fn digits(mut value: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = DIGITS[(value & 31) as usize];
        value >>= 5;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PLAIN: Style = Style {
        nanoseconds: false,
        part_marks: false,
    };

    fn entry(style: Style, part: Option<Part>) -> serde_json::Value {
        let prefix = IdPrefix::new(ContainerId([0x84; 32]), GenerationId(7));
        let mut out = Vec::new();
        let time = b"2026-11-23T17:29:31.764048983Z";
        write(
            &mut out,
            style,
            &Entry {
                prefix: &prefix,
                offset: 33,
                part,
                text: b"a\\tb",
                time,
            },
        );
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn writes_a_whole_line() {
        let entry = entry(PLAIN, None);
        assert_eq!(entry["data"], "a\tb");
        assert_eq!(entry["time"], "2026-11-23T17:29:31.764048Z");
        assert_eq!(entry["id"], "gi289144gi00000000000700000011");
        let place = entry_place("gi289144gi00000000000700000011");
        assert_eq!(place, Some(("000000000007".to_owned(), 33)));
    }

    #[test]
    fn writes_a_part_with_its_mark() {
        let part = Part {
            start: 10_000,
            len: 3,
            index: 1,
            last: true,
        };
        let entry = entry(
            Style {
                nanoseconds: true,
                part_marks: true,
            },
            Some(part),
        );
        assert_eq!(entry["data"], "a\tb [part 2, last]");
        assert_eq!(entry["time"], "2026-11-23T17:29:31.764048983Z");
        assert_eq!(entry["id"], "gi289144gi0000000000070000001100009ogg03");
    }

    proptest::proptest! {
        #[test]
        fn eight_digits_are_digits(value: u64) {
            let mut slow = [0; OFFSET];
            digits(value, &mut slow);
            proptest::prop_assert_eq!(eight_digits(value), slow);
        }

        #[test]
        fn an_entry_is_what_serde_json_reads(
            offset in 0..1u64 << 40,
            time in "20[0-9]{2}-01-02T03:04:05(\\.[0-9]{1,9})?Z",
            text in "[ -!#-\\[\\]-~]{0,300}",
        ) {
            let prefix = IdPrefix::new(ContainerId([0x84; 32]), GenerationId(7));
            let mut out = b"before".to_vec();
            let entry = Entry { prefix: &prefix, offset, part: None, text: text.as_bytes(), time: time.as_bytes() };
            write(&mut out, PLAIN, &entry);
            let mut id = [0; PREFIX + OFFSET];
            id[..PREFIX].copy_from_slice(&prefix.0);
            digits(offset, &mut id[PREFIX..]);
            let mut micros = Vec::new();
            stamp::write_micros(time.as_bytes(), &mut micros);
            let read: serde_json::Value = serde_json::from_slice(&out[6..]).unwrap();
            let wanted = serde_json::json!({
                "data": text,
                "id": std::str::from_utf8(&id).unwrap(),
                "time": std::str::from_utf8(&micros).unwrap(),
            });
            proptest::prop_assert_eq!(read, wanted);
        }
    }

    #[test]
    fn ids_sort_as_offsets_do() {
        let prefix = IdPrefix::new(ContainerId([1; 32]), GenerationId(GenerationId::MASK));
        let mut previous = Vec::new();
        for offset in [0, 1, 31, 32, 1_023, 1 << 20, (1 << 40) - 1] {
            let mut out = Vec::new();
            let entry = Entry {
                prefix: &prefix,
                offset,
                part: None,
                text: b"",
                time: b"",
            };
            write(&mut out, PLAIN, &entry);
            assert!(out > previous);
            previous = out;
        }
    }
}
