//! The shapes of log lines that are measured, made by seed.

use fastrand::Rng;

/// Different texts of a shape; they repeat in a file, only their numbers do not.
const POOL: usize = 1024;
/// `seq=` and ten digits and a space, at the start of every line: what tells lost lines and
/// repeated ones.
pub const SEQ_LEN: usize = 15;

/// A kind of line. Lengths are those of what the application wrote, its newline included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// 120 bytes of words.
    Plain120,
    /// 216 bytes of JSON, one line in 16 on stderr.
    Json216,
    /// 400 bytes of JSON.
    Escaped400,
    /// 500 bytes with quotes, tabs, markup, line ends and other alphabets.
    Escaped500,
    /// 64,000 bytes of words, which Docker cuts into pieces of 16 KiB.
    Pieces16k,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Plain120,
        Self::Json216,
        Self::Escaped400,
        Self::Escaped500,
        Self::Pieces16k,
    ];

    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain120 => "120B",
            Self::Json216 => "216B-json",
            Self::Escaped400 => "400B-escaped",
            Self::Escaped500 => "500B-escaped",
            Self::Pieces16k => "16KiB-pieces",
        }
    }

    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.name() == name)
    }

    /// Bytes of a line's text.
    pub fn text_len(self) -> usize {
        match self {
            Self::Plain120 => 120,
            Self::Json216 => 216,
            Self::Escaped400 => 400,
            Self::Escaped500 => 500,
            Self::Pieces16k => 64_000,
        }
    }

    /// One line in this many goes to stderr; 0 for none.
    pub fn stderr_each(self) -> u64 {
        match self {
            Self::Json216 | Self::Escaped500 => 16,
            _ => 0,
        }
    }

    /// What stands behind the number in each line, the newline not included.
    pub fn pool(self, seed: u64) -> Vec<Vec<u8>> {
        let mut rng = Rng::with_seed(seed ^ self as u64);
        let len = self.text_len() - SEQ_LEN - 1;
        let pool = if self == Self::Pieces16k {
            POOL / 16
        } else {
            POOL
        };
        let text = |rng: &mut Rng| match self {
            Self::Plain120 | Self::Pieces16k => words(rng, len),
            Self::Json216 | Self::Escaped400 => json(rng, len),
            Self::Escaped500 => mixed(rng, len),
        };
        (0..pool).map(|_| text(&mut rng)).collect()
    }
}

const WORDS: [&str; 24] = [
    "order",
    "accepted",
    "price",
    "feed",
    "latency",
    "retry",
    "connection",
    "from",
    "to",
    "cache",
    "miss",
    "hit",
    "worker",
    "started",
    "finished",
    "in",
    "12ms",
    "user=4711",
    "GET",
    "/api/v1",
    "200",
    "INFO",
    "WARN",
    "id=9f3c",
];

fn words(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        text.extend_from_slice(WORDS[rng.usize(..WORDS.len())].as_bytes());
        text.push(b' ');
    }
    text.truncate(len);
    text
}

/// A structured log line; about one byte in twelve is a quote.
fn json(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut text = format!("{{\"level\":\"info\",\"n\":{}", rng.u32(..)).into_bytes();
    // Room for the longest pair, and for what stands around the message.
    while text.len() + 48 < len {
        let (key, word) = (WORDS[rng.usize(..6)], WORDS[rng.usize(..WORDS.len())]);
        text.extend_from_slice(format!(",\"{key}{}\":\"{word} {word}\"", rng.u8(..9)).as_bytes());
    }
    text.extend_from_slice(b",\"msg\":\"");
    while text.len() + 2 < len {
        text.push(rng.lowercase() as u8);
    }
    text.extend_from_slice(b"\"}");
    text
}

fn mixed(rng: &mut Rng, len: usize) -> Vec<u8> {
    const BITS: [&str; 8] = [
        "\tat handler.js:12 ",
        "<div class=\"x\">",
        "C:\\temp\\a.txt ",
        "größer ",
        "価格 ",
        "a && b ",
        "\r",
        "Traceback (most recent call last): ",
    ];
    let mut text = Vec::with_capacity(len + 64);
    while text.len() < len {
        let bit = match rng.bool() {
            true => BITS[rng.usize(..BITS.len())],
            false => WORDS[rng.usize(..WORDS.len())],
        };
        if text.len() + bit.len() > len {
            text.resize(len, b'.');
        } else {
            text.extend_from_slice(bit.as_bytes());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_as_long_as_they_should_be_and_the_same_by_seed() {
        for shape in Shape::ALL {
            let pool = shape.pool(7);
            assert_eq!(pool, shape.pool(7));
            assert_ne!(pool, shape.pool(8));
            for text in pool {
                assert_eq!(
                    text.len() + SEQ_LEN + 1,
                    shape.text_len(),
                    "{}",
                    shape.name()
                );
                assert!(std::str::from_utf8(&text).is_ok());
                assert!(!text.contains(&b'\n'));
            }
        }
    }
}
