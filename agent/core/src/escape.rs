//! The body of a JSON string as Docker wrote it: checked, measured and cut without decoding it.

mod walk;

use memchr::memchr;

use walk::Walk;

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

/// Checks a whole escaped text: UTF-8, no raw control byte, no bare quote, only JSON's escapes,
/// no lone surrogate.
pub fn check(text: &[u8]) -> Check {
    let Some(walk) = Walk::through(text) else {
        return Check::Broken;
    };
    if walk.is_valid() && (walk.high < 0x80 || simdutf8::basic::from_utf8(text).is_ok()) {
        Check::Valid
    } else {
        Check::Repairable
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
