//! Sets in a folder: files that appear when they are whole.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::{BufMut as _, Bytes};
use oci::Buffer;
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

/// What an unfinished file of a folder is called at its end.
const PARTIAL: &str = ".partial";

/// An object in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name below the store's prefix.
    pub name: String,
    /// In bytes.
    pub bytes: u64,
}

/// A file that appears under its name when it is whole.
pub struct FileWriter {
    path: PathBuf,
    partial: PathBuf,
    file: File,
}

impl FileWriter {
    pub(crate) async fn begin(path: &Path) -> anyhow::Result<Self> {
        let failed = || format!("write {}", path.display());
        if let Some(folder) = path.parent() {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(folder).await.with_context(failed)?;
        }
        if fs::try_exists(path).await.with_context(failed)? {
            bail!("{}: it is there already", failed());
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(PARTIAL);
        let partial = PathBuf::from(partial);
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .await
            .with_context(failed)?;
        Ok(Self {
            path: path.to_owned(),
            partial,
            file,
        })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = self.file.write_all(bytes).await;
        written.with_context(|| format!("write {}", self.partial.display()))
    }

    pub(crate) async fn finish(mut self) -> anyhow::Result<()> {
        let failed = || format!("write {}", self.path.display());
        self.file.flush().await.with_context(failed)?;
        self.file.sync_all().await.with_context(failed)?;
        fs::rename(&self.partial, &self.path)
            .await
            .with_context(failed)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)
                .await
                .with_context(failed)?
                .sync_all()
                .await
                .with_context(failed)?;
        }
        Ok(())
    }

    pub(crate) async fn abort(self) -> anyhow::Result<()> {
        let removed = fs::remove_file(&self.partial).await;
        removed.with_context(|| format!("delete {}", self.partial.display()))
    }
}

/// A file, read in chunks.
pub struct FileReader {
    path: PathBuf,
    file: File,
    pub(crate) bytes: u64,
    chunk_bytes: u64,
}

impl FileReader {
    pub(crate) async fn open(path: &Path, chunk_bytes: u64) -> anyhow::Result<Option<Self>> {
        let failed = || format!("read {}", path.display());
        let mut file = match File::open(path).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.with_context(failed)?,
        };
        let bytes = file.seek(SeekFrom::End(0)).await.with_context(failed)?;
        file.rewind().await.with_context(failed)?;
        let path = path.to_owned();
        Ok(Some(Self {
            path,
            file,
            bytes,
            chunk_bytes,
        }))
    }

    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        let length = self.chunk_bytes.clamp(1, self.bytes.max(1)) as usize;
        let mut chunk = Buffer::with_capacity(length);
        while chunk.len() < length {
            let room = length - chunk.len();
            let mut room = (&mut *chunk).limit(room);
            let read = self.file.read_buf(&mut room).await;
            if read.with_context(|| format!("read {}", self.path.display()))? == 0 {
                break;
            }
        }
        Ok((!chunk.is_empty()).then(|| chunk.freeze()))
    }
}

pub(crate) async fn list_folder(root: &Path, start: &str) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = || format!("list {}", folder.display());
        let mut entries = match fs::read_dir(&folder).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.with_context(failed)?,
        };
        while let Some(entry) = entries.next_entry().await.with_context(failed)? {
            let metadata = entry.metadata().await.with_context(failed)?;
            let path = entry.path();
            if metadata.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root).ok().and_then(Path::to_str);
            let Some(name) = name.filter(|name| name.starts_with(start)) else {
                continue;
            };
            found.push(Found {
                name: name.to_owned(),
                bytes: metadata.len(),
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

pub(crate) async fn remove_empty_parents(root: &Path, path: &Path) {
    let mut folder = path.parent();
    while let Some(parent) = folder.filter(|parent| *parent != root && parent.starts_with(root)) {
        if fs::remove_dir(parent).await.is_err() {
            return;
        }
        folder = parent.parent();
    }
}
