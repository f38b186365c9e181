//! The reference: the least that signed shipping takes. One loop reads, finds lines, takes them
//! apart where Docker's frame must be, writes entries, hashes, signs once per request and writes
//! to a plain socket. It trusts its input, keeps no checkpoint, joins and splits nothing, retries
//! nothing: no shipper that does its duty can be faster, and the distance is what duty costs.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use memchr::{memchr_iter, memrchr};
use oci::{BodyHeaders, PrivateKey, SignedParts, Signer, encode_digest};
use ring::digest::{Context, SHA256};

/// Bytes read at once, as the agent does.
const CHUNK_BYTES: usize = 256 * 1024;
/// Room that a chunk's entries need beyond the chunk: a line of no text grows most.
const GROWTH: usize = 2;
const OPEN: &[u8] = br#"{"specversion":"1.0","logEntryBatches":[{"entries":["#;
const CLOSE: &[u8] = br#"],"source":"reference","type":"docker","subject":"reference","defaultlogentrytime":"2026-11-01T00:00:00Z"}]}"#;
const TARGET: &str = "/20200831/logs/ocid1.log.oc1..reference/actions/push";
const FRAME_OPEN: &[u8] = br#"{"log":""#;
const FRAME_MIDDLE: &[u8] = br#"","stream":"stdout","time":""#;
const FRAME_CLOSE: &[u8] = b"\"}";
const ID_BYTES: usize = 30;

/// Ships these files to `address` in requests of `batch_bytes`.
///
/// # Errors
/// Those of files and socket, and when the sink does not answer 200.
pub fn run(
    files: &[std::path::PathBuf],
    address: &str,
    key: &Path,
    batch_bytes: usize,
) -> anyhow::Result<()> {
    let key = Arc::new(PrivateKey::from_pem(&std::fs::read_to_string(key)?, None)?);
    let mut shipper = Shipper {
        stream: TcpStream::connect(address)?,
        host: address.to_owned(),
        signer: Signer::new("reference/reference/reference", key),
        body: Vec::with_capacity(batch_bytes + GROWTH * CHUNK_BYTES),
        digest: Context::new(&SHA256),
        hashed: 0,
        batch_bytes,
    };
    shipper.body.extend_from_slice(OPEN);
    let mut chunk = vec![0; CHUNK_BYTES];
    for path in files {
        shipper.file(&File::open(path)?, &mut chunk)?;
    }
    if shipper.body.len() > OPEN.len() {
        shipper.send()?;
    }
    Ok(())
}

struct Shipper {
    stream: TcpStream,
    host: String,
    signer: Signer,
    body: Vec<u8>,
    digest: Context,
    hashed: usize,
    batch_bytes: usize,
}

impl Shipper {
    fn file(&mut self, file: &File, chunk: &mut [u8]) -> anyhow::Result<()> {
        let mut offset = 0;
        loop {
            let count = file.read_at(chunk, offset)?;
            let mut start = 0;
            for end in memchr_iter(b'\n', &chunk[..count]) {
                emit(&chunk[start..end], offset + start as u64, &mut self.body);
                start = end + 1;
            }
            if start == 0 {
                return Ok(());
            }
            offset += start as u64;
            // While it is hot in the cache.
            self.digest.update(&self.body[self.hashed..]);
            self.hashed = self.body.len();
            if self.body.len() + GROWTH * CHUNK_BYTES > self.batch_bytes {
                self.send()?;
            }
        }
    }

    fn send(&mut self) -> anyhow::Result<()> {
        // The comma behind the last entry is hashed already, so one more entry follows.
        self.body.extend_from_slice(br#"{"data":"","id":"end"}"#);
        self.body.extend_from_slice(CLOSE);
        self.digest.update(&self.body[self.hashed..]);
        let digest = std::mem::replace(&mut self.digest, Context::new(&SHA256)).finish();
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest.as_ref());
        let date = httpdate::fmt_http_date(SystemTime::now());
        let authorization = self.signer.authorization(&SignedParts {
            method: "POST",
            target: TARGET,
            host: Some(&self.host),
            date: &date,
            body: Some(BodyHeaders {
                length: self.body.len() as u64,
                content_type: "application/json",
                sha256: &sha256,
            }),
            extra: &[],
        })?;
        let head = format!(
            "POST {TARGET} HTTP/1.1\r\nhost: {}\r\ndate: {date}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nx-content-sha256: {}\r\nauthorization: {authorization}\r\n\r\n",
            self.host,
            self.body.len(),
            encode_digest(&sha256),
        );
        write_both(&mut self.stream, head.as_bytes(), &self.body)?;
        let mut answer = [0; 1024];
        let count = self.stream.read(&mut answer)?;
        anyhow::ensure!(
            answer[..count].starts_with(b"HTTP/1.1 200"),
            "the sink did not accept"
        );
        self.body.truncate(OPEN.len());
        self.hashed = 0;
        Ok(())
    }
}

fn write_both(stream: &mut TcpStream, head: &[u8], body: &[u8]) -> io::Result<()> {
    let count = stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)])?;
    if let Some(left) = head.get(count..) {
        stream.write_all(left)?;
    }
    stream.write_all(&body[count.saturating_sub(head.len())..])
}

/// One Docker line as an entry and a comma.
#[inline]
fn emit(line: &[u8], offset: u64, out: &mut Vec<u8>) {
    let rest = &line[..line.len() - FRAME_CLOSE.len()];
    let Some(quote) = memrchr(b'"', rest) else {
        return;
    };
    let time = &rest[quote + 1..];
    let text = &rest[FRAME_OPEN.len()..quote + 1 - FRAME_MIDDLE.len()];
    let text = text.strip_suffix(b"\\n").unwrap_or(text);
    out.extend_from_slice(b"{\"data\":\"");
    out.extend_from_slice(text);
    out.extend_from_slice(b"\",\"id\":\"");
    out.extend_from_slice(&id(offset));
    out.extend_from_slice(b"\",\"time\":\"");
    out.extend_from_slice(&time[..time.len().min(26)]);
    out.extend_from_slice(if time.len() > 26 { b"Z\"}," } else { b"\"}," });
}

fn id(offset: u64) -> [u8; ID_BYTES] {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let mut id = *b"reference0reference00000000000";
    let mut value = offset;
    for digit in id[22..].iter_mut().rev() {
        *digit = DIGITS[(value & 31) as usize];
        value >>= 5;
    }
    id
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_entry_is_json() {
        let line =
            br#"{"log":"a \u003c b\n","stream":"stderr","time":"2026-11-23T17:29:31.764048983Z"}"#;
        let mut out = Vec::new();
        emit(line, 32, &mut out);
        let entry: serde_json::Value = serde_json::from_slice(&out[..out.len() - 1]).unwrap();
        assert_eq!(entry["data"], "a < b");
        assert_eq!(entry["time"], "2026-11-23T17:29:31.764048Z");
        assert_eq!(entry["id"], "reference0reference00000000010");
    }
}
