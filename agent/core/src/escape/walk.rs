//! A walk through an escaped text by blocks.
//!
//! Where no backslash follows another, and only quotes and line ends are escaped, a block is judged
//! by pairs of neighbours: a handful of vector instructions, which is enough for most of JSON's
//! lines. In any other block each kind of byte becomes a number with one bit a byte; which
//! backslashes are escaped themselves follows from one subtraction, and only escapes other than of
//! quotes and backslashes are looked at one by one.

use super::unit;

/// Bytes judged by pairs at once; a shorter text's end is judged in [`PAIRS_SHORT`].
const PAIRS: usize = 32;
const PAIRS_SHORT: usize = 16;
/// Bytes judged by bits at once.
const BITS: usize = 64;

/// What was found so far.
#[derive(Default)]
pub struct Walk {
    /// Some escape or raw control byte is none of JSON's.
    invalid: bool,
    /// All bytes or'ed: over 0x7f when not all of it is ASCII.
    pub high: u8,
    /// A backslash right in front of this place begins nothing.
    ended: usize,
    /// Up to here all belongs to a surrogate pair that was judged.
    pair_end: usize,
}

impl Walk {
    /// The whole text; `None` when a quote stands in it unescaped, or its last backslash escapes
    /// what is behind it.
    pub fn through(text: &[u8]) -> Option<Self> {
        let mut walk = Self::default();
        let mut at = 0;
        if let Some(&first) = text.first()
            && !matches!(first, 0..0x20 | b'"' | b'\\')
        {
            walk.high = first;
            at = 1;
        }
        while at < text.len() {
            at = match walk.pairs(text, at) {
                Some(end) => end,
                None => walk.bits(text, at)?,
            };
        }
        (!walk.is_pending(text, at)).then_some(walk)
    }

    /// All of it is JSON, if it is UTF-8.
    pub fn is_valid(&self) -> bool {
        !self.invalid
    }

    /// The byte before `at` is a backslash that begins an escape.
    fn is_pending(&self, text: &[u8], at: usize) -> bool {
        at > self.ended && text[at - 1] == b'\\'
    }

    /// Judges the block at `at`, or the last whole one of the text when fewer bytes are left, by
    /// pairs: where it ends, if all in it is plain.
    #[inline]
    fn pairs(&mut self, text: &[u8], at: usize) -> Option<usize> {
        if at == 0 || (at == self.ended && text[at - 1] == b'\\') {
            return None;
        }
        let left = text.len() - at;
        let (from, end) = if left >= PAIRS {
            (at, at + PAIRS)
        } else if left > PAIRS_SHORT && text.len() > PAIRS {
            (text.len() - PAIRS, text.len())
        } else if text.len() > PAIRS_SHORT && left <= PAIRS_SHORT {
            let from = text.len() - PAIRS_SHORT;
            let bytes = text[from..].first_chunk::<PAIRS_SHORT>()?;
            let before = text[from - 1..].first_chunk::<PAIRS_SHORT>()?;
            return self.judge(before, bytes).then_some(text.len());
        } else {
            return None;
        };
        let bytes = text[from..].first_chunk::<PAIRS>()?;
        let before = text[from - 1..].first_chunk::<PAIRS>()?;
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

    /// Judges the block at `at` by bits: where it ends. `None` when a bare quote stands in it.
    fn bits(&mut self, text: &[u8], at: usize) -> Option<usize> {
        let end = text.len().min(at + BITS);
        let mut padded = [b' '; BITS];
        let block = match text[at..].first_chunk::<BITS>() {
            Some(block) => block,
            None => {
                padded[..end - at].copy_from_slice(&text[at..]);
                &padded
            }
        };
        let mut control = 0u8;
        let mut high = 0u8;
        for &byte in block {
            control |= u8::from(byte < 0x20);
            high |= byte;
        }
        self.high |= high;
        self.invalid |= control != 0;
        let backslashes = bits_of(block, b'\\');
        let quotes = bits_of(block, b'"');
        let escaped = escaped(backslashes, self.is_pending(text, at));
        if quotes & !escaped != 0 {
            return None;
        }
        let mut others = escaped & !(quotes | backslashes);
        while others != 0 {
            let place = at + others.trailing_zeros() as usize;
            others &= others - 1;
            if place < text.len() && place >= self.pair_end {
                self.escape(text, place - 1);
            }
        }
        // Of a block's last backslash the next block must know whether it begins an escape.
        let begins = backslashes & !escaped;
        if begins >> (end - at - 1) & 1 == 0 {
            self.ended = end;
        }
        Some(end)
    }

    /// Judges the escape that begins at `begin`.
    #[inline]
    fn escape(&mut self, text: &[u8], begin: usize) {
        match unit(&text[begin..]) {
            Some((len, _)) => self.pair_end = begin + len,
            None => self.invalid = true,
        }
    }
}

/// One bit for each byte of the block that is `wanted`, the first in the lowest.
#[inline]
fn bits_of(block: &[u8; BITS], wanted: u8) -> u64 {
    // The product brings the lowest bits of eight bytes together in its highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let mut equal = [0u8; BITS];
    for (equal, &byte) in equal.iter_mut().zip(block) {
        *equal = u8::from(byte == wanted);
    }
    let (eights, _) = equal.as_chunks::<8>();
    eights.iter().rev().fold(0, |bits, &eight| {
        bits << 8 | u64::from_le_bytes(eight).wrapping_mul(GATHER) >> 56
    })
}

/// Which bytes are escaped, given where backslashes stand and whether the byte before begins an
/// escape. In a run of backslashes every second one is; the subtraction goes through all runs at
/// once, as simdjson does it.
#[inline]
fn escaped(backslashes: u64, pending: bool) -> u64 {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    let pending = u64::from(pending);
    let begins = backslashes & !pending;
    let behind = begins << 1;
    let ends = (behind | ODD).wrapping_sub(begins) ^ ODD;
    ends ^ (backslashes | pending)
}
