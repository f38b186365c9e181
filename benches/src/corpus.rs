//! A containers folder as dockerd leaves it, with log files by seed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::shape::Shape;

/// Docker cuts a line here, bytes before escaping (moby `daemon/logger/copier.go`).
const PIECE_BYTES: usize = 16 * 1024;
/// The time of the first line: fixed, so that the same seed gives the same bytes.
const FIRST_SECOND: u64 = 1_795_000_000;

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The lines.
    pub shape: Shape,
    /// Containers, one log file each.
    pub files: usize,
    /// Of all files together, about.
    pub bytes: u64,
    /// Of the texts.
    pub seed: u64,
}

/// A folder with log files.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// What it holds.
    pub spec: Spec,
    /// The folder of containers.
    pub containers: PathBuf,
    /// Lines that the applications wrote.
    pub lines: u64,
    /// Of all log files.
    pub bytes: u64,
}

impl Corpus {
    /// Writes the folder, or takes the one that an earlier run wrote; then reads it once, so that
    /// the page cache holds it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn prepare(root: &Path, spec: Spec) -> io::Result<Self> {
        let Spec {
            shape,
            files,
            bytes,
            seed,
        } = spec;
        let dir = root.join(format!("{}-{files}-{bytes}-{seed}", shape.name()));
        let done = dir.join("lines");
        let containers = dir.join("containers");
        if !done.exists() {
            let _ = fs::remove_dir_all(&dir);
            let mut writer = LineWriter::new(shape, seed);
            for n in 0..files {
                let log = make_container(&containers, n as u64)?;
                let mut out = BufWriter::with_capacity(1 << 20, File::create(log)?);
                let until = writer.bytes + bytes / files as u64;
                while writer.bytes < until {
                    writer.line(&mut out)?;
                }
                out.flush()?;
            }
            fs::write(&done, writer.seq.to_string())?;
        }
        let lines = fs::read_to_string(&done)?
            .trim()
            .parse()
            .map_err(io::Error::other)?;
        let mut corpus = Self {
            spec,
            containers,
            lines,
            bytes: 0,
        };
        for file in corpus.files()? {
            corpus.bytes += io::copy(&mut File::open(file)?, &mut io::sink())?;
        }
        Ok(corpus)
    }

    /// The log files, in the order in which they were written.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        log_files(&self.containers)
    }
}

/// The current log file of each container in a folder.
///
/// # Errors
/// Those of the file system.
pub fn log_files(containers: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(containers)? {
        let id = entry?.file_name().to_string_lossy().into_owned();
        files.push(log_path(containers, &id));
    }
    files.sort();
    Ok(files)
}

/// Where a container's log stands.
pub fn log_path(containers: &Path, id: &str) -> PathBuf {
    containers.join(id).join(format!("{id}-json.log"))
}

/// The n-th container's id.
pub fn container_id(n: u64) -> String {
    // Ids of real containers differ in their first digits.
    format!(
        "{n:08x}{:056x}",
        u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834)
    )
}

/// Makes the folder of the n-th container, without its log file, whose path it returns.
///
/// # Errors
/// Those of the file system.
pub fn make_container(containers: &Path, n: u64) -> io::Result<PathBuf> {
    let id = container_id(n);
    let folder = containers.join(&id);
    fs::create_dir_all(&folder)?;
    let log = log_path(containers, &id);
    let config = serde_json::json!({
        "ID": id, "Name": format!("/bench-{n}"), "Created": "2026-11-01T00:00:00Z", "LogPath": log,
        "Image": "sha256:0", "Config": {"Image": "bench", "Labels": {}},
        "State": {"Running": true, "Pid": 1},
    });
    fs::write(folder.join("config.v2.json"), config.to_string())?;
    let host = serde_json::json!({"LogConfig": {"Type": "json-file", "Config": {}}});
    fs::write(folder.join("hostconfig.json"), host.to_string())?;
    Ok(log)
}

/// Writes lines as dockerd does.
pub struct LineWriter {
    pool: Vec<Vec<u8>>,
    stderr_each: u64,
    random: fastrand::Rng,
    line: Vec<u8>,
    text: Vec<u8>,
    nanoseconds: u64,
    /// The number of the next line.
    pub seq: u64,
    /// Written so far.
    pub bytes: u64,
}

impl LineWriter {
    /// Lines of this shape, numbered from 0.
    pub fn new(shape: Shape, seed: u64) -> Self {
        Self {
            pool: shape.pool(seed),
            stderr_each: shape.stderr_each(),
            random: fastrand::Rng::with_seed(seed),
            line: Vec::new(),
            text: Vec::new(),
            nanoseconds: 0,
            seq: 0,
            bytes: 0,
        }
    }

    /// The next line.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn line(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.text.clear();
        write!(self.text, "seq={:010} ", self.seq)?;
        self.text
            .extend_from_slice(&self.pool[self.random.usize(..self.pool.len())]);
        self.text.push(b'\n');
        let stderr = self.stderr_each > 0 && self.seq.is_multiple_of(self.stderr_each);
        let stream = if stderr { "stderr" } else { "stdout" };
        self.nanoseconds += self.random.u64(1_000..100_000);
        let time = time(self.nanoseconds);
        self.line.clear();
        for piece in self.text.chunks(PIECE_BYTES) {
            self.line.extend_from_slice(b"{\"log\":\"");
            escape(piece, &mut self.line);
            self.line.extend_from_slice(b"\",\"stream\":\"");
            self.line.extend_from_slice(stream.as_bytes());
            self.line.extend_from_slice(b"\",\"time\":\"");
            self.line.extend_from_slice(time.as_bytes());
            self.line.extend_from_slice(b"\"}\n");
        }
        self.seq += 1;
        self.bytes += self.line.len() as u64;
        out.write_all(&self.line)
    }
}

/// RFC 3339 with nanoseconds, trailing zeros trimmed, as dockerd has it.
fn time(nanoseconds: u64) -> String {
    let wall = std::time::Duration::from_secs(FIRST_SECOND + nanoseconds / 1_000_000_000);
    let mut text = agent_core::stamp::from_wall(wall);
    let fraction = format!("{:09}", nanoseconds % 1_000_000_000);
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        text.pop();
        text.push('.');
        text.push_str(fraction);
        text.push('Z');
    }
    text
}

/// As moby's `jsonlog` writes a string (facts: `<`, `>` and `&` too, and no short form of a tab).
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..0x20 | b'<' | b'>' | b'&' => {
                let hex = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0') as u8;
                out.extend_from_slice(b"\\u00");
                out.push(hex(byte >> 4));
                out.push(hex(byte & 15));
            }
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_what_dockerd_writes() {
        for shape in Shape::ALL {
            let mut writer = LineWriter::new(shape, 1);
            let mut out = Vec::new();
            for _ in 0..50 {
                writer.line(&mut out).unwrap();
            }
            assert_eq!(out.len() as u64, writer.bytes);
            let mut text = String::new();
            for line in out
                .split(|&byte| byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                assert!(agent_core::docker::parse(line).is_some());
                let line: serde_json::Value = serde_json::from_slice(line).unwrap();
                text.push_str(line["log"].as_str().unwrap());
            }
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines.len(), 50);
            for (n, line) in lines.iter().enumerate() {
                assert!(line.starts_with(&format!("seq={n:010} ")));
                assert_eq!(line.len() + 1, shape.text_len());
            }
        }
    }
}
