//! What a file is, told from its bytes: device and inode are only hints, since gzip changes them
//! and deletion reuses them.

use std::time::Duration;

use memchr::memchr;

use crate::docker;
use crate::entry::GenerationId;
use crate::event::{Head, Listed};
use crate::stamp::Time;

/// A 64-bit hash of a file's first line (or of any witness bytes). Its values stand in
/// checkpoints and decide entry ids: it never changes.
pub fn head_hash(bytes: &[u8]) -> u64 {
    let mut hash = mix(0x9e37_79b9_7f4a_7c15 ^ bytes.len() as u64);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = mix(hash ^ u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(hash ^ u64::from_le_bytes(last))
}

fn mix(value: u64) -> u64 {
    // The finaliser of SplitMix64: a bijection, so equal hashes come from equal inputs or chance.
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// What the first bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Its first line is there: the file can be told from others.
    Line(Fingerprint),
    /// Nothing but NULs up to the end of the bytes.
    Nothing,
    /// The first line is not yet whole.
    Partial,
}

/// A file's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Where it is and its hash.
    pub head: Head,
    /// It is one complete Docker line. The pieces of one long line are all alike, time included,
    /// so several generations may begin with such a piece.
    pub complete: bool,
    /// The first line that is not like it, where it is no complete line: together they tell even
    /// files apart that begin with the same piece.
    pub witness: Option<Head>,
    /// Its time, if it is a Docker line that was read in this run.
    pub time: Time,
}

impl Fingerprint {
    /// No other file has it.
    pub fn is_unique(&self) -> bool {
        self.complete || self.witness.is_some()
    }

    /// The files may be one.
    pub fn is_like(&self, other: &Self) -> bool {
        let (left, right) = (self.witness, other.witness);
        self.head == other.head && (left.is_none() || right.is_none() || left == right)
    }
}

/// Looks at a file's start: `bytes` from `offset`, everything in front of it being NULs.
/// `finished`: nothing will follow these bytes, so an unfinished line will stay so.
pub fn look(bytes: &[u8], offset: u64, finished: bool) -> Start {
    let Some(nuls) = bytes.iter().position(|&byte| byte != 0) else {
        return Start::Nothing;
    };
    let bytes = &bytes[nuls..];
    let line = match memchr(b'\n', bytes) {
        Some(end) => &bytes[..=end],
        None if finished || bytes.len() >= crate::limits::LINE_BYTES_MAX => bytes,
        None => return Start::Partial,
    };
    let record = line.strip_suffix(b"\n").and_then(docker::parse);
    let complete = record.as_ref().is_some_and(|record| record.complete);
    let time = record.map_or(Time::default(), |record| Time::of(&record.time));
    let head = Head {
        len: u32::try_from(line.len()).unwrap_or(u32::MAX),
        hash: head_hash(line),
        offset: offset + nuls as u64,
    };
    let witness = match complete {
        true => None,
        false => witness(bytes, head.offset, &head),
    };
    Start::Line(Fingerprint {
        head,
        complete,
        witness,
        time,
    })
}

/// The first whole line in `bytes`, which start at `offset` with a line's start, that stands
/// behind `head` and is not like it.
pub fn witness(bytes: &[u8], offset: u64, head: &Head) -> Option<Head> {
    let mut start = 0;
    while let Some(end) = memchr(b'\n', &bytes[start..]) {
        let line = &bytes[start..=start + end];
        let at = offset + start as u64;
        let found = Head {
            len: u32::try_from(line.len()).unwrap_or(u32::MAX),
            hash: head_hash(line),
            offset: at,
        };
        let behind = at >= head.offset + u64::from(head.len);
        if behind && (found.len, found.hash) != (head.len, head.hash) {
            return Some(found);
        }
        start += line.len();
    }
    None
}

/// The generation's name. `twin` counts the older generations of this container that begin with
/// the same line; `epoch` tells this state folder from others.
///
/// With a first line of its own a generation has the same name even for an agent that lost its
/// state. Where only the state can tell twins apart, its epoch goes into the name, so that an
/// agent with a new state cannot give the name of one twin to another.
pub fn generation_id(fingerprint: &Fingerprint, twin: u32, epoch: u64) -> GenerationId {
    let mut hash = mix(fingerprint.head.hash ^ u64::from(fingerprint.head.len));
    hash = mix(hash ^ fingerprint.head.offset);
    if twin > 0 || !fingerprint.complete {
        hash = mix(mix(hash ^ epoch) ^ u64::from(twin));
    }
    GenerationId(hash & GenerationId::MASK)
}

/// Names a file that went before its first line was read, by what its last listing showed.
pub fn unread_id(file: &Listed) -> GenerationId {
    let nanos = |time: Duration| time.as_nanos() as u64;
    let times = [nanos(file.born), nanos(file.modified)];
    let hash = [file.device, file.inode, file.size, times[0], times[1]]
        .into_iter()
        .fold(0x6761_7073, |hash, word| mix(hash ^ word));
    GenerationId(hash & GenerationId::MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] =
        b"{\"log\":\"a\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-23T17:29:31Z\"}\n";

    #[test]
    fn hash_is_fixed_for_ever() {
        assert_eq!(head_hash(b""), 0xe220_a839_7b1d_cdaf_u64.pipe(mix));
        assert_ne!(head_hash(b"a"), head_hash(b"a\0"));
        assert_ne!(head_hash(b"12345678"), head_hash(b"12345678\0"));
    }

    trait Pipe: Sized {
        fn pipe(self, f: impl Fn(Self) -> Self) -> Self {
            f(self)
        }
    }
    impl Pipe for u64 {}

    #[test]
    fn known_as_soon_as_the_first_line_is_whole() {
        for cut in 1..LINE.len() {
            assert_eq!(look(&LINE[..cut], 0, false), Start::Partial);
        }
        let Start::Line(found) = look(LINE, 0, false) else {
            panic!("no fingerprint")
        };
        assert!(found.complete);
        assert_eq!(
            found.head,
            Head {
                len: LINE.len() as u32,
                hash: head_hash(LINE),
                offset: 0
            }
        );
    }

    #[test]
    fn nuls_in_front_are_passed_over() {
        let bytes = [&[0; 5][..], LINE].concat();
        assert_eq!(look(&bytes[..5], 0, false), Start::Nothing);
        let Start::Line(found) = look(&bytes, 100, false) else {
            panic!("no fingerprint")
        };
        assert_eq!(found.head.offset, 105);
        assert_eq!(found.head.hash, head_hash(LINE));
    }

    #[test]
    fn only_ambiguous_names_depend_on_the_state() {
        let Start::Line(whole) = look(LINE, 0, false) else {
            panic!("no fingerprint")
        };
        let Start::Line(torn) = look(&LINE[..20], 0, true) else {
            panic!("no fingerprint")
        };
        assert_eq!(generation_id(&whole, 0, 1), generation_id(&whole, 0, 2));
        assert_ne!(generation_id(&whole, 1, 1), generation_id(&whole, 1, 2));
        assert_ne!(generation_id(&whole, 1, 1), generation_id(&whole, 2, 1));
        assert_ne!(generation_id(&torn, 0, 1), generation_id(&torn, 0, 2));
    }
}
