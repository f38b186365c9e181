//! Which lines arrived, by the number that each carries: lost and repeated ones, and when.

use std::time::Duration;

use memchr::memmem;

const MARK: &[u8] = b"seq=";
const DIGITS: usize = 10;

/// What arrived.
#[derive(Debug, Default)]
pub struct Ledger {
    seen: Vec<u64>,
    /// When each arrived first, if that is wanted.
    times: Option<Vec<Duration>>,
    /// Different lines.
    pub lines: u64,
    /// Lines that had arrived before.
    pub repeated: u64,
}

impl Ledger {
    /// Remembers times, too.
    pub fn with_times() -> Self {
        Self {
            times: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// Takes note of every line in a body.
    pub fn note(&mut self, body: &[u8], now: Duration) {
        for at in memmem::find_iter(body, MARK) {
            let digits = body.get(at + MARK.len()..at + MARK.len() + DIGITS);
            let number = digits
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| digits.parse::<usize>().ok());
            if let Some(number) = number {
                self.mark(number, now);
            }
        }
    }

    fn mark(&mut self, number: usize, now: Duration) {
        let (word, bit) = (number / 64, 1 << (number % 64));
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            self.repeated += 1;
            return;
        }
        self.seen[word] |= bit;
        self.lines += 1;
        if let Some(times) = &mut self.times {
            if number >= times.len() {
                times.resize(number + 1, Duration::ZERO);
            }
            times[number] = now;
        }
    }

    /// When line `number` arrived, if it did.
    pub fn time(&self, number: usize) -> Option<Duration> {
        let seen = self.seen.get(number / 64)? & (1 << (number % 64)) != 0;
        self.times.as_ref()?.get(number).copied().filter(|_| seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_once_and_repeats_apart() {
        let mut ledger = Ledger::with_times();
        ledger.note(
            b"[\"seq=0000000003 a\",\"seq=0000000003 a\",\"seq=0000000130 b seq=\"]",
            Duration::from_secs(1),
        );
        ledger.note(b"seq=0000000130", Duration::from_secs(2));
        assert_eq!((ledger.lines, ledger.repeated), (2, 2));
        assert_eq!(ledger.time(130), Some(Duration::from_secs(1)));
        assert_eq!(ledger.time(4), None);
    }
}
