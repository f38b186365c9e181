//! How many bytes of a log file are not older than a given time, without reading more of it than
//! that takes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use agent_core::limits::LINE_BYTES_MAX;
use flate2::bufread::MultiGzDecoder;
use jiff::Timestamp;
use memchr::{memchr, memmem};
use serde::Deserialize;

/// Bytes of one log file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// All of them, uncompressed.
    pub log_bytes: u64,
    /// From the first line that is not older than the cutoff.
    pub send_bytes: u64,
}

/// Measures one file. Without a `cutoff` all of it counts.
///
/// Docker's times do not run strictly forward, and clocks are set back: the answer is good to a
/// few lines.
///
/// # Errors
/// Those of the file system, and a damaged gzip stream.
pub fn measure(path: &Path, compressed: bool, cutoff: Option<Timestamp>) -> io::Result<Measure> {
    let mut file = File::open(path)?;
    if compressed {
        return measure_gz(file, cutoff);
    }
    let log_bytes = file.seek(SeekFrom::End(0))?;
    let start = match cutoff {
        Some(cutoff) => first_since(&file, log_bytes, cutoff)?,
        None => 0,
    };
    Ok(Measure {
        log_bytes,
        send_bytes: log_bytes - start,
    })
}

/// Offset of the first line that is not older, by bisection; `size` when there is none.
fn first_since(file: &File, size: u64, cutoff: Timestamp) -> io::Result<u64> {
    let mut buffer = vec![0; 2 * LINE_BYTES_MAX];
    let mut answer = size;
    if let Some((0, time)) = line_at(file, 0, true, &mut buffer)?
        && time >= cutoff
    {
        return Ok(0);
    }
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low.midpoint(high);
        match line_at(file, middle, false, &mut buffer)? {
            Some((start, time)) if start < answer && time < cutoff => low = start,
            Some((start, _)) if start < answer => (answer, high) = (start, middle),
            _ => high = middle,
        }
    }
    Ok(answer)
}

/// The first line with a time that starts behind `offset` (or, with `here`, at it).
fn line_at(
    file: &File,
    offset: u64,
    here: bool,
    buffer: &mut [u8],
) -> io::Result<Option<(u64, Timestamp)>> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let bytes = &buffer[..filled];
    let mut start = match (here, memchr(b'\n', bytes)) {
        (true, _) => 0,
        (false, Some(newline)) => newline + 1,
        (false, None) => return Ok(None),
    };
    while let Some(length) = memchr(b'\n', &bytes[start..]) {
        if let Some(time) = time_of(&bytes[start..start + length]) {
            return Ok(Some((offset + start as u64, time)));
        }
        start += length + 1;
    }
    Ok(None)
}

/// `time` stands last in a line.
fn time_of(line: &[u8]) -> Option<Timestamp> {
    const KEY: &[u8] = b"\"time\":\"";
    let start = memmem::rfind(line, KEY)? + KEY.len();
    let text = std::str::from_utf8(&line[start..]).ok()?;
    text.split('"').next()?.parse().ok()
}

/// What Docker puts into the extra field of the gzip header (moby `loggerutils/logfile.go`).
#[derive(Deserialize)]
struct GzExtra {
    #[serde(rename = "lastTime")]
    last_time: String,
}

fn measure_gz(mut file: File, cutoff: Option<Timestamp>) -> io::Result<Measure> {
    let whole = uncompressed_bytes(&mut file)?;
    let all = Measure {
        log_bytes: whole,
        send_bytes: whole,
    };
    let Some(cutoff) = cutoff else {
        return Ok(all);
    };
    let mut stream = BufReader::new(MultiGzDecoder::new(BufReader::new(file)));
    // Reads the header.
    let _ = stream.fill_buf()?;
    let extra = stream.get_ref().header().and_then(|header| header.extra());
    let last: Option<GzExtra> = extra.and_then(|extra| serde_json::from_slice(extra).ok());
    let last: Option<Timestamp> = last.and_then(|last| last.last_time.parse().ok());
    if last.is_some_and(|last| last < cutoff) {
        return Ok(Measure {
            log_bytes: whole,
            send_bytes: 0,
        });
    }
    let mut skipped = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let longest = 2 * LINE_BYTES_MAX as u64;
        let length = (&mut stream).take(longest).read_until(b'\n', &mut line)?;
        if length == 0 || time_of(&line).is_some_and(|time| time >= cutoff) {
            break;
        }
        skipped += length as u64;
    }
    Ok(Measure {
        log_bytes: whole,
        send_bytes: whole.saturating_sub(skipped),
    })
}

/// The trailer's ISIZE (RFC 1952): the length modulo 4 GiB, of the last member. Docker writes one
/// member, and rotates long before 4 GiB.
fn uncompressed_bytes(file: &mut File) -> io::Result<u64> {
    let mut trailer = [0; 4];
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut trailer)?;
    file.rewind()?;
    Ok(u64::from(u32::from_le_bytes(trailer)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use flate2::{Compression, GzBuilder};

    use super::*;

    fn time(second: u64) -> Timestamp {
        Timestamp::new(1_760_000_000 + i64::try_from(second).unwrap(), 0).unwrap()
    }

    /// Line `n` is written at second `n`; lengths differ widely.
    fn line(n: u64) -> String {
        let text = "x".repeat((n * 7_919 % 3_000) as usize);
        format!(
            "{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"{}\"}}\n",
            time(n)
        )
    }

    fn log(lines: u64) -> String {
        (0..lines).map(line).collect()
    }

    fn bytes_since(n: u64, lines: u64) -> u64 {
        (n..lines).map(|n| line(n).len() as u64).sum()
    }

    #[test]
    fn a_plain_log_counts_from_the_cutoff() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, log(500)).unwrap();
        for first in [0, 1, 2, 77, 250, 498, 499, 500] {
            let measured = measure(&path, false, Some(time(first))).unwrap();
            assert_eq!(measured.send_bytes, bytes_since(first, 500), "{first}");
            assert_eq!(measured.log_bytes, bytes_since(0, 500));
        }
        let all = measure(&path, false, None).unwrap();
        assert_eq!(all.send_bytes, all.log_bytes);
    }

    #[test]
    fn an_empty_or_foreign_log_is_measured_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "").unwrap();
        assert_eq!(
            measure(&path, false, Some(time(0))).unwrap(),
            Measure::default()
        );
        // Nothing in it has a time: nothing of it is known to be old enough to ship or to skip.
        std::fs::write(&path, "no json\nat all\n").unwrap();
        assert_eq!(measure(&path, false, Some(time(0))).unwrap().log_bytes, 15);
    }

    #[test]
    fn a_compressed_log_counts_from_the_cutoff() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.1.gz");
        let extra = format!("{{\"lastTime\":\"{}\"}}", time(299));
        let file = File::create(&path).unwrap();
        let mut gz = GzBuilder::new()
            .extra(extra)
            .write(file, Compression::fast());
        gz.write_all(log(300).as_bytes()).unwrap();
        gz.finish().unwrap();
        for first in [0, 1, 150, 299, 300, 9_000] {
            let measured = measure(&path, true, Some(time(first))).unwrap();
            let expected = bytes_since(first.min(300), 300);
            assert_eq!(measured.send_bytes, expected, "{first}");
            assert_eq!(measured.log_bytes, bytes_since(0, 300));
        }
    }
}
