//! One request body under construction: `{"specversion":"1.0","logEntryBatches":[…]}`.
//!
//! A segment is one LogEntryBatch: entries of one container and stream. The segment of the stream
//! being read is written straight into the body; lines of the other stream that stand between go
//! to a side buffer, which becomes a segment of its own when the container is left.

use std::time::Duration;

use crate::docker::Stream;
use crate::entry::{self, Entry, Gap, Style};
use crate::limits::{ENTRY_FRAME_BYTES_MAX, SEGMENT_FRAME_BYTES_MAX};

const OPEN: &[u8] = br#"{"specversion":"1.0","logEntryBatches":["#;
const CLOSE: &[u8] = b"]}";

/// The end of a container's segments, but for the default time: source, type and subject.
#[derive(Clone, Debug, Default)]
pub struct Labels([Vec<u8>; 2]);

impl Labels {
    /// For one container.
    pub fn new(source: &str, type_prefix: &str, subject: &str) -> Self {
        let kinds = Stream::ALL.map(Stream::as_str);
        Self::with(kinds, source, type_prefix, subject)
    }

    /// Of a container's gap markers.
    pub fn gap(source: &str, type_prefix: &str, subject: &str) -> Self {
        Self::with([crate::gap::KIND; 2], source, type_prefix, subject)
    }

    /// Of an entry that shows whether anything is accepted.
    pub fn proof(source: &str, type_prefix: &str, subject: &str) -> Self {
        Self::with([crate::pipeline::PROOF; 2], source, type_prefix, subject)
    }

    fn with(kinds: [&str; 2], source: &str, type_prefix: &str, subject: &str) -> Self {
        Self(kinds.map(|kind| {
            let mut label = Vec::new();
            for (name, value) in [
                ("],\"source", source.to_owned()),
                ("\",\"type", format!("{type_prefix}.{kind}")),
                ("\",\"subject", subject.to_owned()),
            ] {
                label.extend_from_slice(name.as_bytes());
                label.extend_from_slice(b"\":\"");
                crate::escape::repair(value.as_bytes(), false, &mut label);
            }
            label.extend_from_slice(b"\",\"defaultlogentrytime\":\"");
            label.shrink_to_fit();
            label
        }))
    }

    fn len(&self) -> usize {
        self.0[0].len().max(self.0[1].len())
    }
}

#[derive(Debug)]
struct Segment {
    stream: Stream,
    default_time: Vec<u8>,
    entries: u32,
}

/// A body that grows.
#[derive(Debug)]
pub struct Batch {
    body: Vec<u8>,
    side: Vec<u8>,
    open: Option<Segment>,
    beside: Option<Segment>,
    labels: Labels,
    entries: u32,
    since: Option<Duration>,
}

impl Batch {
    /// An empty batch that writes into `body`, whose capacity is reused.
    pub fn new(mut body: Vec<u8>) -> Self {
        body.clear();
        body.extend_from_slice(OPEN);
        Self {
            body,
            side: Vec::new(),
            open: None,
            beside: None,
            labels: Labels::default(),
            entries: 0,
            since: None,
        }
    }

    /// Entries in it.
    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// Nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Bytes of the body so far, but for segments that are not closed.
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// When its first entry came.
    pub fn since(&self) -> Option<Duration> {
        self.since
    }

    /// Bytes it keeps in memory.
    pub fn memory_bytes(&self) -> usize {
        self.body.capacity() + self.side.capacity()
    }

    /// Most bytes the body can have once `entries` more entries of `text` bytes in all are in it.
    #[inline]
    pub fn bytes_with(&self, text: usize, entries: usize) -> usize {
        self.body.len()
            + self.side.len()
            + text
            + entries * ENTRY_FRAME_BYTES_MAX
            + 2 * (SEGMENT_FRAME_BYTES_MAX + self.labels.len())
    }

    /// Entries of this container follow, until [`Batch::leave`].
    pub fn enter(&mut self, labels: &Labels) {
        debug_assert!(self.open.is_none(), "the container before was not left");
        self.labels.clone_from(labels);
    }

    /// The container's entries are written: closes its segments.
    pub fn leave(&mut self) {
        self.close_open();
        if let Some(beside) = self.beside.take() {
            self.start_segment();
            self.body.append(&mut self.side);
            self.end_segment(&beside);
        }
    }

    /// Appends an entry of the container that was entered.
    #[inline]
    pub fn push(&mut self, now: Duration, stream: Stream, style: Style, entry: &Entry<'_>) {
        entry::write(self.place(now, stream, entry.time), style, entry);
    }

    /// Appends a gap marker; its labels were entered.
    pub fn push_gap(&mut self, now: Duration, style: Style, gap: &Gap<'_>) {
        entry::write_gap(self.place(now, Stream::Stdout, gap.time), style, gap);
    }

    /// Where the next entry of a stream goes.
    #[inline]
    fn place(&mut self, now: Duration, stream: Stream, time: &[u8]) -> &mut Vec<u8> {
        self.entries += 1;
        if self.since.is_none() {
            self.since = Some(now);
        }
        match &mut self.open {
            Some(open) if open.stream == stream => {
                open.entries += 1;
                self.body.push(b',');
                &mut self.body
            }
            None => {
                self.open = Some(Segment::new(stream, time));
                self.start_segment();
                &mut self.body
            }
            Some(_) => {
                match &mut self.beside {
                    Some(beside) => {
                        beside.entries += 1;
                        self.side.push(b',');
                    }
                    None => self.beside = Some(Segment::new(stream, time)),
                }
                &mut self.side
            }
        }
    }

    /// The finished body. At least one entry must be in it.
    pub fn seal(mut self) -> Vec<u8> {
        debug_assert!(self.entries > 0 && self.open.is_none());
        self.body.extend_from_slice(CLOSE);
        self.body
    }

    fn start_segment(&mut self) {
        if self.body.len() > OPEN.len() {
            self.body.push(b',');
        }
        self.body.extend_from_slice(b"{\"entries\":[");
    }

    fn close_open(&mut self) {
        if let Some(open) = self.open.take() {
            self.end_segment(&open);
        }
    }

    fn end_segment(&mut self, segment: &Segment) {
        debug_assert!(segment.entries > 0);
        self.body
            .extend_from_slice(&self.labels.0[segment.stream as usize]);
        crate::stamp::write_micros(&segment.default_time, &mut self.body);
        self.body.extend_from_slice(b"\"}");
    }
}

impl Segment {
    fn new(stream: Stream, time: &[u8]) -> Self {
        Self {
            stream,
            default_time: time.to_vec(),
            entries: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::entry::{GenerationId, IdPrefix};
    use crate::event::ContainerId;

    type Row = (String, String, String, String, String);

    fn segments(body: &[u8]) -> Vec<Row> {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        body["logEntryBatches"]
            .as_array()
            .unwrap()
            .iter()
            .map(|segment| {
                let data: Vec<_> = segment["entries"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|entry| entry["data"].as_str().unwrap())
                    .collect();
                let text = |name: &str| segment[name].as_str().unwrap().to_owned();
                (
                    text("source"),
                    text("type"),
                    text("subject"),
                    text("defaultlogentrytime"),
                    data.concat(),
                )
            })
            .collect()
    }

    #[test]
    fn segments_by_container_and_stream() {
        let prefix = IdPrefix::new(ContainerId([0; 32]), GenerationId(0));
        let style = Style {
            nanoseconds: false,
            part_marks: false,
        };
        let mut batch = Batch::new(b"old".to_vec());
        for (container, streams) in [("a\"b", "oeeo"), ("c", "e")] {
            batch.enter(&Labels::new("host", "t", container));
            for (n, stream) in streams.chars().enumerate() {
                let stream = if stream == 'o' {
                    Stream::Stdout
                } else {
                    Stream::Stderr
                };
                let text = n.to_string();
                let time = b"2026-11-23T17:29:31Z";
                let entry = Entry {
                    prefix: &prefix,
                    offset: 0,
                    part: None,
                    text: text.as_bytes(),
                    time,
                };
                batch.push(Duration::from_secs(9), stream, style, &entry);
            }
            batch.leave();
        }
        assert_eq!(
            (batch.entries(), batch.since()),
            (5, Some(Duration::from_secs(9)))
        );
        let bound = batch.bytes_with(0, 0);
        let body = batch.seal();
        assert!(body.len() <= bound);
        let found = segments(&body);
        let row = |kind: &str, subject: &str, data: &str| {
            (
                "host".to_owned(),
                kind.to_owned(),
                subject.to_owned(),
                "2026-11-23T17:29:31Z".to_owned(),
                data.to_owned(),
            )
        };
        assert_eq!(
            found,
            [
                row("t.stdout", "a\"b", "03"),
                row("t.stderr", "a\"b", "12"),
                row("t.stderr", "c", "0")
            ]
        );
    }
}
