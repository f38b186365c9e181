//! From a source to the store in one go: nothing of the backup's size is ever held or spooled.

use anyhow::Context as _;
use bytes::Bytes;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::backup::manifest::Object;
use crate::backup::progress::Progress;
use crate::backup::seal::{self, Chunk, Recipe};
use crate::backup::store::{Store, Writer};

/// Pieces between source and sealer: some, so that neither side wakes the other for each one.
const PIECES_MAX: usize = 8;

/// Stores what `produce` sends; the object appears only if the producer succeeded.
///
/// # Errors
/// The first of: the producer's, the store's, the sealer's.
pub async fn store<F>(
    store: &Store,
    set: &str,
    recipe: Recipe,
    progress: &Progress,
    produce: impl FnOnce(Sender<Bytes>) -> F,
) -> anyhow::Result<Object>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let name = recipe.name.clone();
    let failed = || format!("store {name}");
    let mut writer = store
        .begin(&format!("{set}/{name}"), recipe.chunk_bytes)
        .await
        .with_context(failed)?;
    let (plain_sender, plain) = mpsc::channel(PIECES_MAX);
    let (sealed_sender, sealed) = mpsc::channel(1);
    let sealing = tokio::task::spawn_blocking(move || seal::seal(recipe, plain, sealed_sender));
    let (produced, written) =
        tokio::join!(produce(plain_sender), write(&mut writer, sealed, progress));
    let object = sealing.await.context("seal").and_then(|object| object);
    // A store that fails makes the producer fail for want of a taker: the store's word comes first.
    let result = match (written, produced, object) {
        (Err(error), _, _) | (Ok(()), Err(error), _) | (Ok(()), Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(()), Ok(object)) => Ok(object),
    };
    match result {
        Ok(object) => {
            writer.finish().await.with_context(failed)?;
            Ok(object)
        }
        Err(error) => {
            // What remains is swept later; the first error is the one that tells.
            let _ = writer.abort().await;
            Err(error.context(failed()))
        }
    }
}

async fn write(
    writer: &mut Writer,
    mut sealed: Receiver<Chunk>,
    progress: &Progress,
) -> anyhow::Result<()> {
    loop {
        // Not before it can go: each chunk that waits somewhere is memory.
        writer.ready().await?;
        let Some(chunk) = sealed.recv().await else {
            return Ok(());
        };
        let bytes = chunk.bytes.len() as u64;
        writer.write(chunk).await?;
        progress.advance(bytes);
    }
}

/// Sends a piece on.
///
/// # Errors
/// When nobody takes it any more.
pub async fn send(sender: &Sender<Bytes>, bytes: Bytes) -> anyhow::Result<()> {
    sender
        .send(bytes)
        .await
        .ok()
        .context("nobody takes the bytes any more")
}
