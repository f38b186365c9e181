#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::event::ContainerId;

use crate::writer;

const TIME: &[u8] = b"2026-11-23T17:29:31Z";
const GENERATION: GenerationId = GenerationId(9);
/// Small, so that short texts make many parts; longer than any character.
const PART_MAX: usize = 7;

fn prefix() -> IdPrefix {
    IdPrefix::new(ContainerId([3; 32]), GENERATION)
}

fn decode(text: &[u8]) -> String {
    serde_json::from_slice(&[b"\"", text, b"\""].concat()).unwrap()
}

/// A line as its pieces: each with the generation and the offset it stands at.
#[derive(Clone, Debug)]
struct Line(Vec<(u64, u64, Vec<u8>)>);

impl Line {
    fn text(&self) -> String {
        self.0.iter().map(|(_, _, text)| decode(text)).collect()
    }
}

fn line() -> impl Strategy<Value = Line> {
    let unit = proptest::sample::select(&["a", "\"", "\\", "\n", "<", "é", "€", "😀", "\u{1}"]);
    let text = proptest::collection::vec(unit, 0..20).prop_map(|units| units.concat());
    let piece = (text, any::<bool>(), 50..90u64);
    proptest::collection::vec(piece, 1..8).prop_map(|pieces| {
        let (mut generation, mut offset) = (1, 1_000);
        let place = |(text, rotated, len): (String, bool, u64)| {
            if rotated {
                (generation, offset) = (generation + 1, 0);
            }
            offset += len;
            (
                generation,
                offset - len,
                writer::escape(text.as_bytes()).into_bytes(),
            )
        };
        Line(pieces.into_iter().map(place).collect())
    })
}

/// A part as it left.
struct Cut {
    text: Vec<u8>,
    part: Part,
}

impl From<Entry<'_>> for Cut {
    fn from(entry: Entry<'_>) -> Self {
        Self {
            text: entry.text.to_vec(),
            part: entry.part.unwrap(),
        }
    }
}

/// A point at which the agent may stop: parts given out so far, and what it remembers.
struct Stop {
    parts: usize,
    /// Index of the next piece to be read if nothing is held.
    next: usize,
    held_from: Option<(u64, u64)>,
    mark: Option<GroupMark>,
}

/// Joins the pieces from `from` on, giving up by age before the pieces that `give_up` names.
fn join(
    mut group: Group,
    line: &Line,
    from: usize,
    mut start: Option<u64>,
    give_up: &[usize],
) -> (Vec<Cut>, Vec<Stop>) {
    let (mut cuts, mut stops) = (Vec::new(), Vec::new());
    let stop = |group: &Group, parts, next| Stop {
        parts,
        next,
        held_from: group.held_from(),
        mark: group.mark(),
    };
    for (index, (generation, offset, text)) in line.0.iter().enumerate().skip(from) {
        if give_up.contains(&index) {
            cuts.extend(group.flush(false).map(Cut::from));
            stops.push(stop(&group, cuts.len(), index));
        }
        group.push(*generation, *offset, text, start.take());
        stops.push(stop(&group, cuts.len(), index + 1));
        while let Some(cut) = group.cut(PART_MAX) {
            cuts.push(cut.into());
            stops.push(stop(&group, cuts.len(), index + 1));
        }
    }
    cuts.extend(group.flush(true).map(Cut::from));
    (cuts, stops)
}

fn new_group(line: &Line) -> Group {
    Group::new(prefix(), GENERATION, line.0[0].1, TIME)
}

fn shape(cuts: &[Cut]) -> Vec<(String, Part)> {
    cuts.iter()
        .map(|cut| (decode(&cut.text), cut.part))
        .collect()
}

proptest! {
    #[test]
    fn parts_make_up_the_line(line in line(), give_up in proptest::collection::vec(1..8usize, 0..3)) {
        let (cuts, _) = join(new_group(&line), &line, 0, None, &give_up);
        let text: String = cuts.iter().map(|cut| decode(&cut.text)).collect();
        prop_assert_eq!(text, line.text());
        let mut start = 0;
        for (index, cut) in cuts.iter().enumerate() {
            prop_assert_eq!(cut.part.start, start);
            prop_assert_eq!(cut.part.index as usize, index);
            prop_assert_eq!(cut.part.len, decode(&cut.text).len());
            prop_assert!(cut.part.len <= PART_MAX);
            prop_assert!(cut.part.len > 0 || cuts.len() == 1, "an empty part of a text");
            start += cut.part.len as u64;
        }
        let lasts = cuts.iter().filter(|cut| cut.part.last).count();
        if give_up.is_empty() {
            prop_assert_eq!(lasts, 1);
            prop_assert!(cuts.last().unwrap().part.last);
        } else {
            // Given up at its very end, its last part has gone as one that may go on.
            prop_assert!(cuts.iter().rev().skip(1).all(|cut| !cut.part.last));
        }
    }

    #[test]
    fn a_line_resumed_at_any_point_goes_on_with_the_same_parts(
        line in line(), give_up in proptest::collection::vec(1..8usize, 0..3),
    ) {
        let (cuts, stops) = join(new_group(&line), &line, 0, None, &give_up);
        for stop in stops {
            let from = match stop.held_from {
                Some(held) => line.0.iter().position(|piece| (piece.0, piece.1) == held).unwrap(),
                None => stop.next,
            };
            let (group, start) = match &stop.mark {
                Some(mark) => (Group::resume(prefix(), mark), Some(mark.piece_start)),
                None => (new_group(&line), None),
            };
            // What was given up after the stop is not given up again: those parts are longer.
            let again: Vec<usize> = give_up.iter().copied().filter(|&index| index >= stop.next.max(from + 1)).collect();
            if again.len() < give_up.len() && stop.mark.is_none() {
                continue;
            }
            let (rest, _) = join(group, &line, from, start, &again);
            prop_assert_eq!(shape(&rest), shape(&cuts)[stop.parts..].to_vec());
        }
    }

    #[test]
    fn never_holds_more_than_a_part_and_a_piece(line in line()) {
        let longest = line.0.iter().map(|(_, _, text)| text.len()).max().unwrap();
        let mut group = new_group(&line);
        for (generation, offset, text) in &line.0 {
            group.push(*generation, *offset, text, None);
            prop_assert!(group.pending_bytes() <= PART_MAX * 6 + longest);
            while group.cut(PART_MAX).is_some() {}
            prop_assert!(group.pending_bytes() <= PART_MAX * 6);
            prop_assert!(group.pieces.len() <= PART_MAX + 1);
        }
    }
}

#[test]
fn t38_a_line_of_a_gigabyte_takes_the_memory_of_a_part_and_a_piece() {
    const PART: usize = crate::limits::DATA_BYTES_MAX;
    for text in [&b"x"[..], "é".as_bytes(), b"\\u0001"] {
        let piece = text.repeat(writer::PIECE_BYTES / decode(text).len());
        let pieces =
            (1u64 << 30) / writer::PIECE_BYTES as u64 / if text.len() == 6 { 16 } else { 1 };
        let mut group = Group::new(prefix(), GENERATION, 0, TIME);
        let (mut shipped, mut parts) = (0, 0);
        for n in 0..pieces {
            group.push(1, n * 100_000, &piece, None);
            assert!(group.pending_bytes() <= piece.len() + PART * text.len());
            while let Some(cut) = group.cut(PART).map(Cut::from) {
                assert!(cut.part.len <= PART && !cut.part.last);
                assert_eq!((cut.part.start, cut.part.index), (shipped, parts));
                shipped += cut.part.len as u64;
                parts += 1;
            }
            assert!(group.pending.capacity() <= 4 * (piece.len() + PART * text.len()));
            assert!(group.pieces.len() <= 2);
        }
        let last = Cut::from(group.flush(true).unwrap());
        assert!(last.part.last);
        assert_eq!(
            shipped + last.part.len as u64,
            pieces * writer::PIECE_BYTES as u64
        );
    }
}

#[test]
fn an_empty_line_is_one_empty_part() {
    let mut group = Group::new(prefix(), GENERATION, 0, TIME);
    group.push(1, 0, b"", None);
    assert!(group.flush(false).is_none());
    let cut = Cut::from(group.flush(true).unwrap());
    assert_eq!(
        (cut.text.len(), cut.part.index, cut.part.last),
        (0, 0, true)
    );
}

#[test]
fn a_newline_alone_ends_a_line_that_was_given_up_without_another_part() {
    let mut group = Group::new(prefix(), GENERATION, 0, TIME);
    group.push(1, 0, b"abc", None);
    let cut = Cut::from(group.flush(false).unwrap());
    assert!(!cut.part.last);
    assert_eq!(group.held_from(), None);
    group.push(1, 60, b"", None);
    assert!(group.flush(true).is_none());
}
