//! One line of a json-file log, as `daemon/logger/jsonfilelog` of moby writes it.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;

use crate::escape::{self, Check};
use crate::stamp;

/// Where the container wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stream {
    /// Standard output.
    Stdout = 0,
    /// Standard error.
    Stderr = 1,
}

impl Stream {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Stdout => Self::Stderr,
            Self::Stderr => Self::Stdout,
        }
    }
}

/// One decoded line: `text` is a valid JSON string body without the final newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The value of `log`, escaped as it stands in the file.
    pub text: Cow<'a, [u8]>,
    /// It ended in a newline: not a piece that another one continues.
    pub complete: bool,
    /// Which stream.
    pub stream: Stream,
    /// RFC 3339 with up to nanoseconds, UTC.
    pub time: Cow<'a, [u8]>,
}

const OPEN: &[u8] = br#"{"log":""#;
const STDOUT: &[u8] = br#"","stream":"stdout","time":""#;
const STDERR: &[u8] = br#"","stream":"stderr","time":""#;

/// The end of nearly every line: a time of nine digits behind the stream. Each byte lies between
/// these two; what that leaves open is checked byte by byte.
const END_LOW: &[u8; 60] = br#"","stream":"stderr","time":"0000-00-00T00:00:00.000000000Z"}"#;
const END_HIGH: &[u8; 60] = br#"","stream":"stdout","time":"9999-19-39T29:59:59.999999999Z"}"#;

/// Splits a line of the fixed shape `{"log":"…","stream":"…","time":"…"}` (no newline) into the
/// escaped value, stream and time, without looking at the value. The frame is found from the
/// right: inside a JSON string no `","` can stand, as its quotes would be escaped, so if the value
/// is valid (see [`escape::check`]) this is the only reading of the line.
#[inline]
pub fn frame(line: &[u8]) -> Option<(&[u8], Stream, &[u8])> {
    match usual_frame(line) {
        None => any_frame(line),
        found => found,
    }
}

/// [`frame`] for a time of nine digits, nine lines in ten: compares at fixed places.
#[inline]
fn usual_frame(line: &[u8]) -> Option<(&[u8], Stream, &[u8])> {
    let (start, end) = line.split_last_chunk::<60>()?;
    let mut outside = 0u8;
    // Written so that it becomes a handful of vector compares.
    for (at, &byte) in end.iter().enumerate() {
        outside |= u8::from(byte < END_LOW[at]) | u8::from(byte > END_HIGH[at]);
    }
    let stream = match &end[15..18] {
        b"out" => Stream::Stdout,
        b"err" => Stream::Stderr,
        _ => return None,
    };
    let time = &end[28..58];
    if outside != 0 || !stamp::is_on_calendar(time.first_chunk()?) {
        return None;
    }
    Some((start.strip_prefix(OPEN)?, stream, time))
}

fn any_frame(line: &[u8]) -> Option<(&[u8], Stream, &[u8])> {
    let rest = line.strip_suffix(b"\"}")?;
    // The time holds no quote, so the last one in reach opens it.
    let tail = rest.len().saturating_sub(stamp::LEN_MAX + 1);
    let open = tail + memchr::memrchr(b'"', &rest[tail..])?;
    let time = &rest[open + 1..];
    if !stamp::is_valid(time) {
        return None;
    }
    let head = &rest[..=open];
    let (head, stream) = match head.strip_suffix(STDOUT) {
        Some(head) => (head, Stream::Stdout),
        None => (head.strip_suffix(STDERR)?, Stream::Stderr),
    };
    Some((head.strip_prefix(OPEN)?, stream, time))
}

/// Splits the escaped final newline off: the text, and whether there was one.
pub fn split_newline(value: &[u8]) -> (&[u8], bool) {
    match value.strip_suffix(b"\\n") {
        // An even run of backslashes before it is escaped backslashes: then it is a newline.
        Some(text) if text.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 0 => {
            (text, true)
        }
        _ => (value, false),
    }
}

/// A line of the fixed shape with a valid value: the normal case, which copies nothing.
#[inline]
pub fn parse(line: &[u8]) -> Option<Record<'_>> {
    let (value, stream, time) = frame(line)?;
    if escape::check(value) != Check::Valid {
        return None;
    }
    let (text, complete) = split_newline(value);
    Some(Record {
        text: Cow::Borrowed(text),
        complete,
        stream,
        time: Cow::Borrowed(time),
    })
}

/// What became of a line that [`parse`] does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusual<'a> {
    /// Docker's all the same: attributes, no `log`, another order, or a value that was mended.
    Record(Record<'a>),
    /// Bytes of a torn write, or a line whose newline is missing; then from `at` on another one.
    Glued {
        /// Where the second part begins in the line.
        at: usize,
    },
    /// Not Docker's JSON: shipped as text.
    Malformed,
}

/// Reads a line that [`parse`] refused.
pub fn parse_unusual(line: &[u8]) -> Unusual<'_> {
    if let Some(record) = from_json(line) {
        return Unusual::Record(record);
    }
    if let Some((value, stream, time)) = frame(line)
        && escape::check(value) == Check::Repairable
    {
        let (text, complete) = split_newline(value);
        let mut mended = Vec::with_capacity(text.len() + 16);
        escape::repair(text, true, &mut mended);
        let text = Cow::Owned(mended);
        return Unusual::Record(Record {
            text,
            complete,
            stream,
            time: Cow::Borrowed(time),
        });
    }
    // A write that stopped half way (full disk, crash), and the next line right behind it.
    let is_record = |at: &usize| frame(&line[*at..]).is_some() || from_json(&line[*at..]).is_some();
    let mut starts = memmem::rfind_iter(line, OPEN).take_while(|&at| at > 0);
    match starts.find(is_record) {
        Some(at) => Unusual::Glued { at },
        None => Unusual::Malformed,
    }
}

#[derive(Deserialize)]
struct JsonLine<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    stream: &'a str,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

fn from_json(line: &[u8]) -> Option<Record<'static>> {
    let parsed: JsonLine<'_> = serde_json::from_slice(line).ok()?;
    let stream = Stream::ALL
        .into_iter()
        .find(|stream| stream.as_str() == parsed.stream)?;
    if !stamp::is_valid(parsed.time.as_bytes()) {
        return None;
    }
    let complete = parsed.log.ends_with('\n');
    let log = parsed.log.strip_suffix('\n').unwrap_or(&parsed.log);
    let mut text = Vec::with_capacity(log.len() + log.len() / 8);
    escape::repair(log.as_bytes(), false, &mut text);
    let time = parsed.time.into_owned().into_bytes();
    Some(Record {
        text: Cow::Owned(text),
        complete,
        stream,
        time: Cow::Owned(time),
    })
}

#[cfg(test)]
#[path = "docker_tests.rs"]
mod tests;
