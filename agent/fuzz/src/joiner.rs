//! Pieces of one line, joined and cut into parts: nothing is lost, whatever is given up by age and
//! wherever a restart falls.

use agent_core::ContainerId;
use agent_core::entry::{Entry, GenerationId, IdPrefix};
use agent_core::escape;
use agent_core::join::Group;

use crate::input::Input;

const TIME: &[u8] = b"2026-11-23T17:29:31Z";

fn decoded(text: &[u8]) -> String {
    serde_json::from_slice(&[b"\"", text, b"\""].concat()).expect("a valid text")
}

/// The parts of a line so far.
#[derive(Default)]
struct Line {
    text: String,
    last: bool,
}

impl Line {
    fn add(&mut self, entry: &Entry<'_>, part_max: usize) {
        let text = decoded(entry.text);
        let part = entry.part.expect("a part");
        assert_eq!(part.start, self.text.len() as u64, "parts follow");
        assert_eq!(part.len, text.len());
        assert!(text.len() <= part_max, "a part is too long");
        assert!(!self.last, "a part behind the last");
        self.last = part.last;
        self.text.push_str(&text);
    }
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    // The shortest part that any character fits in.
    let part_max = 4 + input.below(60);
    let prefix = IdPrefix::new(ContainerId([9; 32]), GenerationId(1));
    let mut group = Group::new(prefix, GenerationId(1), 0, TIME);
    let mut pieces: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut line = Line::default();
    while !input.is_empty() {
        let len = input.below(100);
        let mut piece = Vec::new();
        escape::repair(input.take(len), true, &mut piece);
        let offset = 100 * pieces.len() as u64;
        group.push(1, offset, &piece, None);
        pieces.push((offset, piece));
        let kept = input.below(4);
        while let Some(entry) = group.cut(part_max) {
            line.add(&entry, part_max);
        }
        assert!(
            group.pending_bytes() <= 6 * part_max,
            "more is held than a part"
        );
        match kept {
            0 => {
                // Given up by age; it may go on.
                if let Some(entry) = group.flush(false) {
                    line.add(&entry, part_max);
                }
            }
            1 => group = restart(prefix, &group, &pieces, part_max, &mut line),
            _ => {}
        }
    }
    if let Some(entry) = group.flush(true) {
        line.add(&entry, part_max);
    }
    let whole: String = pieces.iter().map(|(_, piece)| decoded(piece)).collect();
    assert_eq!(line.text, whole);
}

/// The group as the next run has it: from its mark, and the pieces from the first one held.
fn restart(
    prefix: IdPrefix,
    group: &Group,
    pieces: &[(u64, Vec<u8>)],
    part_max: usize,
    line: &mut Line,
) -> Group {
    let (mark, held) = (group.mark(), group.held_from());
    let mut start = mark.as_ref().map(|mark| mark.piece_start);
    let mut resumed = match &mark {
        Some(mark) => Group::resume(prefix, mark),
        None => Group::new(prefix, GenerationId(1), 0, TIME),
    };
    let from = held.map_or(u64::MAX, |(_, offset)| offset);
    for (offset, piece) in pieces.iter().filter(|(offset, _)| *offset >= from) {
        resumed.push(1, *offset, piece, start.take());
        while let Some(entry) = resumed.cut(part_max) {
            line.add(&entry, part_max);
        }
    }
    assert_eq!(resumed.pending_bytes(), group.pending_bytes());
    resumed
}
