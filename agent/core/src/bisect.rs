//! A body that the service refuses, cut in two: halves are tried until the entries are found that
//! it refuses. Off the normal path, so it goes through serde_json; entries are copied as they are.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    specversion: &'a str,
    #[serde(borrow, rename = "logEntryBatches")]
    segments: Vec<Segment<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Segment<'a> {
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
    #[serde(borrow)]
    source: &'a RawValue,
    #[serde(borrow, rename = "type")]
    kind: &'a RawValue,
    #[serde(borrow)]
    subject: &'a RawValue,
    #[serde(borrow)]
    defaultlogentrytime: &'a RawValue,
}

/// One half of a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Half {
    /// One PutLogs body.
    pub body: Vec<u8>,
    /// Entries in it.
    pub entries: u32,
}

/// The first and the second half of a body's entries; `None` when there is one entry, or none.
pub fn halve(body: &[u8]) -> Option<[Half; 2]> {
    let body: Body<'_> = serde_json::from_slice(body).ok()?;
    let entries: usize = body.segments.iter().map(|s| s.entries.len()).sum();
    if entries < 2 {
        return None;
    }
    let middle = entries / 2;
    Some([cut(&body, 0, middle)?, cut(&body, middle, entries)?])
}

/// The entries from `from` up to `to`, in segments as they were.
fn cut(body: &Body<'_>, from: usize, to: usize) -> Option<Half> {
    let mut start = 0;
    let mut segments = Vec::new();
    for segment in &body.segments {
        let len = segment.entries.len();
        let range = from.saturating_sub(start).min(len)..to.saturating_sub(start).min(len);
        start += len;
        if !range.is_empty() {
            segments.push(Segment {
                entries: segment.entries[range].to_vec(),
                ..*segment
            });
        }
    }
    let half = Body {
        specversion: body.specversion,
        segments,
    };
    Some(Half {
        body: serde_json::to_vec(&half).ok()?,
        entries: u32::try_from(to - from).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(segments: &[&[&str]]) -> Vec<u8> {
        let segments: Vec<String> = segments
            .iter()
            .map(|entries| {
                format!(
                    r#"{{"entries":[{}],"source":"h","type":"t","subject":"s\u00e9","defaultlogentrytime":"2026-11-25T00:00:00.000000Z"}}"#,
                    entries.join(",")
                )
            })
            .collect();
        format!(
            r#"{{"specversion":"1.0","logEntryBatches":[{}]}}"#,
            segments.join(",")
        )
        .into_bytes()
    }

    #[test]
    fn entries_and_labels_are_copied_byte_for_byte() {
        let (a, b, c) = (
            r#"{"data":"\u0041\/","id":"1"}"#,
            r#"{"data":"b"}"#,
            r#"{"data":"c"}"#,
        );
        let [first, second] = halve(&body(&[&[a, b], &[c]])).expect("halves");
        assert_eq!((first.entries, second.entries), (1, 2));
        assert_eq!(first.body, body(&[&[a]]));
        assert_eq!(second.body, body(&[&[b], &[c]]));
        assert_eq!(halve(&first.body), None);
        let [left, right] = halve(&second.body).expect("halves");
        assert_eq!((left.body, right.body), (body(&[&[b]]), body(&[&[c]])));
    }

    #[test]
    fn what_is_no_body_is_not_cut() {
        assert_eq!(halve(b""), None);
        assert_eq!(halve(b"{}"), None);
        assert_eq!(halve(&body(&[])), None);
    }
}
