//! A sealed object becomes bytes again, each chunk compared before it is used.

use std::io::{self, Read};

use anyhow::{Context as _, anyhow, bail};
use bytes::{Buf, Bytes};
use ring::digest::{Context as Sha, SHA256};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::backup::key::Identities;
use crate::backup::manifest::{Compression, Manifest, Object};
use crate::backup::progress::Progress;
use crate::backup::seal::{hex, sha256};
use crate::backup::store::Store;
use crate::exit::Exit;
use crate::failure::Failure;

/// Bytes of one piece that goes on.
const PIECE_BYTES: usize = 256 << 10;
const NOBODY: &str = "nobody takes the bytes any more";

/// A set's objects, and the keys to open them, if there are any.
#[derive(Clone, Copy, Debug)]
pub struct Opener<'a> {
    /// Where the set is.
    pub store: &'a Store,
    /// The set.
    pub manifest: &'a Manifest,
    /// Keys; without them only stored bytes can be compared.
    pub identities: &'a Identities,
    /// Who watches.
    pub progress: &'a Progress,
}

impl Opener<'_> {
    /// Compares every stored byte, and with keys (or without encryption) every byte inside.
    ///
    /// # Errors
    /// [`Exit::VERIFICATION_FAILED`], naming object, chunk and offset.
    pub async fn check(&self, object: &Object) -> anyhow::Result<()> {
        if self.manifest.encryption.is_some() && self.identities.is_empty() {
            return self.fetch(object, None, Whole::Compared).await;
        }
        self.open_as(object, None, Whole::Compared).await
    }

    /// Sends the bytes inside to `sink`. What was sent counts only if this succeeds.
    ///
    /// # Errors
    /// [`Exit::VERIFICATION_FAILED`]; or `sink` takes no more.
    pub async fn open(&self, object: &Object, sink: Sender<Bytes>) -> anyhow::Result<()> {
        self.open_as(object, Some(sink), Whole::Implied).await
    }

    async fn open_as(
        &self,
        object: &Object,
        sink: Option<Sender<Bytes>>,
        whole: Whole,
    ) -> anyhow::Result<()> {
        let (sender, stored) = mpsc::channel(1);
        let (identities, wanted) = (self.identities.clone(), object.clone());
        let encrypted = self.manifest.encryption.is_some();
        let opening = tokio::task::spawn_blocking(move || {
            unseal(&wanted, encrypted, &identities, stored, sink.as_ref())
        });
        let fetched = self.fetch(object, Some(sender), whole).await;
        let opened = opening.await.context("open").and_then(|opened| opened);
        // A damaged chunk ends the stream: its own error says more than that of a short stream.
        // A sink that is gone shows on the other side, and there it counts.
        match (fetched, opened) {
            (Err(error), _) if crate::failure::of(&error).is_some() => Err(error),
            (_, Err(error)) => Err(error),
            (fetched, Ok(())) => fetched,
        }
    }

    /// All of a small object.
    ///
    /// # Errors
    /// Those of [`Self::open`], and when it is larger than `bytes_max`.
    pub async fn read(&self, object: &Object, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
        if object.plain_bytes > bytes_max {
            bail!(
                "{} has {} bytes, the limit is {bytes_max}",
                object.name,
                object.plain_bytes
            );
        }
        let (sender, mut pieces) = mpsc::channel::<Bytes>(2);
        let gather = async {
            let mut all = Vec::new();
            while let Some(piece) = pieces.recv().await {
                all.extend_from_slice(&piece);
            }
            all
        };
        let (opened, all) = tokio::join!(self.open(object, sender), gather);
        opened.map(|()| all)
    }

    async fn fetch(
        &self,
        object: &Object,
        sink: Option<Sender<Bytes>>,
        whole: Whole,
    ) -> anyhow::Result<()> {
        let name = format!("{}/{}", self.manifest.set, object.name);
        let reader = self.store.open(&name, object.chunk_bytes).await;
        let reader = reader.with_context(|| format!("read {name}"))?;
        let Some(mut reader) = reader else {
            return Err(failed(format!("{name} is missing")).into());
        };
        if reader.bytes() != object.bytes {
            return Err(failed(format!(
                "{name} has {} bytes, the manifest says {}",
                reader.bytes(),
                object.bytes
            ))
            .into());
        }
        let mut sum = (whole == Whole::Compared).then(|| Sha::new(&SHA256));
        for (index, wanted) in object.chunks.iter().enumerate() {
            // Room first: each chunk that waits somewhere is memory.
            let room = match &sink {
                Some(sink) => Some(sink.reserve().await.ok().context(NOBODY)?),
                None => None,
            };
            let chunk = reader
                .next()
                .await
                .with_context(|| format!("read {name}"))?;
            let chunk = chunk.unwrap_or_default();
            let offset = index as u64 * object.chunk_bytes;
            if sha256(&chunk) != *wanted {
                return Err(failed(format!(
                    "{name} is damaged: {} bytes at offset {offset} are not those that were stored",
                    chunk.len()
                ))
                .into());
            }
            if let Some(sum) = &mut sum {
                sum.update(&chunk);
            }
            self.progress.advance(chunk.len() as u64);
            if let Some(room) = room {
                room.send(chunk);
            }
        }
        if sum.is_some_and(|sum| hex(sum.finish().as_ref()) != object.sha256) {
            return Err(failed(format!("{name}: its SHA-256 is not that of the manifest")).into());
        }
        Ok(())
    }
}

/// What is done with an object's SHA-256, beside those of its chunks, which cover every byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    /// Compared: who recovers by hand goes by it.
    Compared,
    /// It follows from the chunks.
    Implied,
}

fn failed(what: String) -> Failure {
    Failure::new(Exit::VERIFICATION_FAILED, what)
}

fn unseal(
    object: &Object,
    encrypted: bool,
    identities: &Identities,
    stored: Receiver<Bytes>,
    sink: Option<&Sender<Bytes>>,
) -> anyhow::Result<()> {
    let input = ChannelReader {
        stored,
        chunk: Bytes::new(),
    };
    let input: Box<dyn Read> = if encrypted {
        let decryptor = age::Decryptor::new_buffered(io::BufReader::new(input))
            .map_err(|error| anyhow!(failed(format!("{}: {error}", object.name))))?;
        Box::new(decryptor.decrypt(identities.as_dyn()).map_err(|error| {
            let what = format!("{} cannot be opened: {error}", object.name);
            anyhow!(failed(what).try_next("--identity FILE with the key the set is encrypted to"))
        })?)
    } else {
        Box::new(input)
    };
    let mut input: Box<dyn Read> = match object.compression {
        Compression::Inner => input,
        Compression::Zstd => Box::new(zstd::Decoder::new(input).context("decompress")?),
    };
    let mut plain = Sha::new(&SHA256);
    let mut bytes = 0_u64;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = fill(&mut input, &mut piece)
            .map_err(|error| anyhow!(failed(format!("{}: {error}", object.name))))?;
        if read == 0 {
            break;
        }
        plain.update(&piece[..read]);
        bytes += read as u64;
        if let Some(sink) = sink {
            let mut full = std::mem::replace(&mut piece, vec![0; PIECE_BYTES]);
            full.truncate(read);
            sink.blocking_send(full.into()).ok().context(NOBODY)?;
        }
    }
    if bytes != object.plain_bytes || hex(plain.finish().as_ref()) != object.plain_sha256 {
        let what = format!("{}: what is inside is not what was put in", object.name);
        return Err(failed(what).into());
    }
    Ok(())
}

/// Fills a piece, but for the last one.
fn fill(input: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match input.read(&mut piece[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Reads what comes through a channel.
struct ChannelReader {
    stored: Receiver<Bytes>,
    chunk: Bytes,
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.stored.blocking_recv() {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
