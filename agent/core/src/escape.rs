//! The body of a JSON string as Docker wrote it: checked, measured and cut without decoding it.

use memchr::memchr;

/// What a look at an escaped text found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// A valid JSON string body in valid UTF-8: it can be copied as it is.
    Valid,
    /// Not valid; but no quote stands in it unescaped, so it is one text.
    Repairable,
    /// An unescaped quote stands in it: this is more or less than one JSON string.
    Broken,
}

/// Bytes looked at together; a shorter text's end is looked at in [`BLOCK_SHORT`].
const BLOCK: usize = 32;
const BLOCK_SHORT: usize = 16;

/// Checks a whole escaped text: UTF-8, no raw control byte, no bare quote, only JSON's escapes,
/// no lone surrogate.
///
/// Blocks in which no backslash follows another, and only quotes and line ends are escaped, are
/// judged by pairs of neighbours at once; whatever else stands in a block is gone through unit by
/// unit.
pub fn check(text: &[u8]) -> Check {
    let mut walk = Walk {
        valid: true,
        high: 0,
        ended: 0,
    };
    let Some(mut at) = walk.units(text, 0, 1) else {
        return Check::Broken;
    };
    while at < text.len() {
        // Here a unit begins, or ends the escape that the byte before began.
        if let Some(judged) = walk.block(text, at) {
            at = judged;
            continue;
        }
        let begins = at - usize::from(walk.is_pending(text, at));
        match walk.units(text, begins, at + BLOCK) {
            Some(end) => at = end,
            None => return Check::Broken,
        }
    }
    if walk.is_pending(text, at) {
        return Check::Broken;
    }
    if walk.valid && (walk.high < 0x80 || std::str::from_utf8(text).is_ok()) {
        Check::Valid
    } else {
        Check::Repairable
    }
}

/// What [`check`] found so far.
struct Walk {
    valid: bool,
    /// All bytes or'ed.
    high: u8,
    /// The last unit ended here: a backslash before it begins nothing.
    ended: usize,
}

impl Walk {
    /// The byte before `at` is a backslash that begins an escape.
    fn is_pending(&self, text: &[u8], at: usize) -> bool {
        at > self.ended && text[at - 1] == b'\\'
    }

    /// Judges the block at `at`, or the last whole one of the text when fewer bytes are left:
    /// where it ends, if all in it is plain.
    #[inline]
    fn block(&mut self, text: &[u8], at: usize) -> Option<usize> {
        if at == self.ended && text[at - 1] == b'\\' {
            return None;
        }
        let left = text.len() - at;
        let (from, end) = if left >= BLOCK {
            (at, at + BLOCK)
        } else if left > BLOCK_SHORT && text.len() > BLOCK {
            (text.len() - BLOCK, text.len())
        } else if text.len() > BLOCK_SHORT && left <= BLOCK_SHORT {
            let from = text.len() - BLOCK_SHORT;
            let bytes = text[from..].first_chunk::<BLOCK_SHORT>()?;
            let before = text[from - 1..].first_chunk::<BLOCK_SHORT>()?;
            return self.judge(before, bytes).then_some(text.len());
        } else {
            return None;
        };
        let bytes = text[from..].first_chunk::<BLOCK>()?;
        let before = text[from - 1..].first_chunk::<BLOCK>()?;
        self.judge(before, bytes).then_some(end)
    }

    /// Each of `bytes` fits behind its neighbour in `before`: a quote behind a backslash, and
    /// behind a backslash a quote or the letter of a line end. Written so that it becomes a
    /// handful of vector instructions.
    #[inline]
    fn judge<const N: usize>(&mut self, before: &[u8; N], bytes: &[u8; N]) -> bool {
        let mut bad = 0u8;
        let mut high = 0u8;
        for (&before, &byte) in before.iter().zip(bytes) {
            let escape = u8::from(before == b'\\');
            let quote = u8::from(byte == b'"');
            let line_end = u8::from(byte == b'n') | u8::from(byte == b'r');
            bad |= (escape & !(quote | line_end)) | (quote & !escape) | u8::from(byte < 0x20);
            high |= byte;
        }
        self.high |= high;
        bad == 0
    }

    /// Goes through units from `at` on, at least up to `until` and to where no backslash stands
    /// before: where that is. `None` when an unescaped quote is met, or the text ends in an escape.
    fn units(&mut self, text: &[u8], mut at: usize, until: usize) -> Option<usize> {
        let until = until.min(text.len());
        while at < until {
            match text[at] {
                b'"' => return None,
                b'\\' => match unit(&text[at..]) {
                    Some((len, _)) => at += len,
                    None => {
                        self.valid = false;
                        // Whatever is escaped, a quote behind a backslash does not end the text.
                        at += 2;
                    }
                },
                byte => {
                    self.valid &= byte >= 0x20;
                    self.high |= byte;
                    at += 1;
                }
            }
        }
        self.ended = at;
        (at <= text.len()).then_some(at)
    }
}

/// The escape at the start of `text`: its length there, and that of its UTF-8. A surrogate pair
/// is one unit. `None` when it is not an escape that JSON knows.
fn unit(text: &[u8]) -> Option<(usize, usize)> {
    match text.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some((2, 1)),
        b'u' => match hex4(text.get(2..6)?)? {
            0..0x80 => Some((6, 1)),
            0x80..0x800 => Some((6, 2)),
            0xd800..0xdc00 => match (text.get(6..8)?, hex4(text.get(8..12)?)?) {
                (b"\\u", 0xdc00..0xe000) => Some((12, 4)),
                _ => None,
            },
            0xdc00..0xe000 => None,
            _ => Some((6, 3)),
        },
        _ => None,
    }
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, &digit| {
        Some(value << 4 | char::from(digit).to_digit(16)?)
    })
}

/// Length in UTF-8 bytes of what a valid escaped text stands for.
pub fn decoded_len(text: &[u8]) -> usize {
    cut(text, usize::MAX).1
}

/// The longest start of a valid escaped text whose decoded length is at most `decoded_max`:
/// its length as it stands, and decoded. Never cuts inside an escape, a UTF-8 sequence or a
/// surrogate pair.
pub fn cut(text: &[u8], decoded_max: usize) -> (usize, usize) {
    let mut at = 0;
    let mut decoded = 0;
    while at < text.len() {
        let plain = memchr(b'\\', &text[at..]).unwrap_or(text.len() - at);
        if plain > decoded_max - decoded {
            let mut end = at + (decoded_max - decoded);
            while end > at && text[end] & 0xc0 == 0x80 {
                end -= 1;
            }
            return (end, decoded + (end - at));
        }
        at += plain;
        decoded += plain;
        if at == text.len() {
            break;
        }
        let (len, bytes) = unit(&text[at..]).unwrap_or((1, 1));
        if bytes > decoded_max - decoded {
            break;
        }
        at += len;
        decoded += bytes;
    }
    (at, decoded)
}

/// Makes any bytes a valid escaped text: what is not UTF-8 becomes U+FFFD, raw control bytes are
/// escaped. With `escapes`, the bytes are an escaped text already, and only what is wrong in it is
/// mended: an unknown escape keeps its backslash as a character, a lone surrogate becomes U+FFFD.
pub fn repair(bytes: &[u8], escapes: bool, out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(bytes);
    let text = text.as_bytes();
    let mut at = 0;
    while at < text.len() {
        let byte = text[at];
        match byte {
            b'\\' if escapes => match unit(&text[at..]) {
                Some((len, _)) => {
                    out.extend_from_slice(&text[at..at + len]);
                    at += len;
                    continue;
                }
                None if text.get(at + 1) == Some(&b'u')
                    && text.get(at + 2..at + 6).and_then(hex4).is_some() =>
                {
                    out.extend_from_slice("\u{fffd}".as_bytes());
                    at += 6;
                    continue;
                }
                None => out.extend_from_slice(b"\\\\"),
            },
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            0..0x20 => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            _ => out.push(byte),
        }
        at += 1;
    }
}

#[cfg(test)]
#[path = "escape_tests.rs"]
mod tests;
