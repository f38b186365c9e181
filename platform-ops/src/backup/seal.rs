//! Bytes become a sealed object: hashed, compressed, encrypted, cut into chunks. Runs on a thread
//! of its own, between two channels that hold it to the pace of both sides.

use std::io::{self, Write};

use age::stream::StreamWriter;
use anyhow::Context as _;
use bytes::Bytes;
use oci::Buffer;
use oci::object::Sha256Sum;
use ring::digest::{Context as Sha, SHA256};
use tokio::sync::mpsc::{Receiver, Sender};

use crate::backup::key::Recipients;
use crate::backup::manifest::{Compression, Object};

/// Fast, and the best ratio for its time on dumps.
const ZSTD_LEVEL: i32 = 3;
/// Taken from the channel by one call.
const PIECES_AT_ONCE: usize = 8;

/// How an object is sealed.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The object's name within its set.
    pub name: String,
    /// How it is made smaller.
    pub compression: Compression,
    /// To whom it is encrypted; none leaves it plain.
    pub recipients: Recipients,
    /// Of each chunk but the last.
    pub chunk_bytes: usize,
}

/// A chunk of a sealed object.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// As they are stored.
    pub bytes: Bytes,
    /// Of these bytes: the manifest and the service take the same.
    pub sha256: Sha256Sum,
}

impl Chunk {
    /// Of these bytes.
    pub fn new(bytes: Bytes) -> Self {
        let sha256 = Sha256Sum::of(&bytes);
        Self { bytes, sha256 }
    }
}

/// Seals what comes until the channel closes.
///
/// # Errors
/// When the side that takes the chunks is gone, or encryption fails.
pub fn seal(
    recipe: Recipe,
    mut input: Receiver<Bytes>,
    output: Sender<Chunk>,
) -> anyhow::Result<Object> {
    let chunker = Chunker::new(recipe.chunk_bytes, output);
    let cipher = Cipher::new(&recipe.recipients, chunker)?;
    let mut squeeze = Squeeze::new(recipe.compression, cipher).context("compress")?;
    let mut plain = Sha::new(&SHA256);
    let mut plain_bytes = 0;
    let mut pieces = Vec::with_capacity(PIECES_AT_ONCE);
    while input.blocking_recv_many(&mut pieces, PIECES_AT_ONCE) > 0 {
        for bytes in pieces.drain(..) {
            plain.update(&bytes);
            plain_bytes += bytes.len() as u64;
            squeeze.write_all(&bytes).context("seal")?;
        }
    }
    let chunker = squeeze
        .finish()
        .context("compress")?
        .finish()
        .context("encrypt")?;
    let (sha256, chunks, bytes) = chunker.finish().context("seal")?;
    Ok(Object {
        name: recipe.name,
        compression: recipe.compression,
        bytes,
        sha256,
        chunk_bytes: recipe.chunk_bytes as u64,
        chunks,
        plain_bytes,
        plain_sha256: hex(plain.finish().as_ref()),
    })
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&SHA256, bytes).as_ref())
}

enum Squeeze {
    None(Cipher),
    Zstd(zstd::Encoder<'static, Cipher>),
}

impl Squeeze {
    fn new(compression: Compression, cipher: Cipher) -> io::Result<Self> {
        match compression {
            Compression::Inner => Ok(Self::None(cipher)),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(cipher, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Ok(Self::Zstd(encoder))
            }
        }
    }

    fn finish(self) -> io::Result<Cipher> {
        match self {
            Self::None(cipher) => Ok(cipher),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Write for Squeeze {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(cipher) => cipher.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Cipher {
    None(Box<Chunker>),
    Age(Box<StreamWriter<Chunker>>),
}

impl Cipher {
    fn new(recipients: &Recipients, chunker: Chunker) -> anyhow::Result<Self> {
        if recipients.is_empty() {
            return Ok(Self::None(Box::new(chunker)));
        }
        let encryptor = age::Encryptor::with_recipients(recipients.as_dyn()).context("encrypt")?;
        let writer = encryptor.wrap_output(chunker).context("encrypt")?;
        Ok(Self::Age(Box::new(writer)))
    }

    fn finish(self) -> io::Result<Chunker> {
        match self {
            Self::None(chunker) => Ok(*chunker),
            Self::Age(writer) => writer.finish(),
        }
    }
}

impl Write for Cipher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(chunker) => chunker.write(bytes),
            Self::Age(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Cuts into chunks and hashes each.
struct Chunker {
    chunk_bytes: usize,
    output: Sender<Chunk>,
    filling: Buffer,
    whole: Sha,
    chunks: Vec<String>,
    bytes: u64,
}

impl Chunker {
    fn new(chunk_bytes: usize, output: Sender<Chunk>) -> Self {
        Self {
            chunk_bytes: chunk_bytes.max(1),
            output,
            filling: Buffer::default(),
            whole: Sha::new(&SHA256),
            chunks: Vec::new(),
            bytes: 0,
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let chunk = Chunk::new(std::mem::take(&mut self.filling).freeze());
        self.whole.update(&chunk.bytes);
        self.chunks.push(hex(chunk.sha256.as_bytes()));
        self.bytes += chunk.bytes.len() as u64;
        self.output
            .blocking_send(chunk)
            .map_err(|_| io::Error::other("nobody takes the chunks any more"))
    }

    fn finish(mut self) -> io::Result<(String, Vec<String>, u64)> {
        if !self.filling.is_empty() {
            self.send()?;
        }
        Ok((hex(self.whole.finish().as_ref()), self.chunks, self.bytes))
    }
}

impl Write for Chunker {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.filling.capacity() == 0 {
            self.filling = Buffer::with_capacity(self.chunk_bytes);
        }
        let room = self.chunk_bytes - self.filling.len();
        let taken = room.min(bytes.len());
        self.filling.extend_from_slice(&bytes[..taken]);
        if self.filling.len() == self.chunk_bytes {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
