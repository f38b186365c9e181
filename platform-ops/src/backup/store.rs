//! Where sets are kept: a bucket, or a folder laid out the same way.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use oci::ErrorKind;
use oci::object::{
    Bucket, Download, DownloadOptions, ObjectName, PutOptions, Upload, UploadOptions,
};
use tokio::fs;

pub use crate::backup::folder::Found;
use crate::backup::folder::{FileReader, FileWriter, list_folder, remove_empty_parents};
use crate::backup::seal::Chunk;

/// Bytes under way at once; one part that waits and one that is filled come on top.
const UPLOAD_BYTES_MAX: usize = 20 << 20;

/// Where sets are kept.
#[derive(Clone, Debug)]
pub enum Store {
    /// A folder of this host: a mounted disk, most likely.
    Folder(PathBuf),
    /// A bucket, and what every name begins with.
    Bucket {
        /// The bucket.
        bucket: Bucket,
        /// Such as `platform-ops/`.
        prefix: String,
    },
}

impl Store {
    /// As messages name it.
    pub fn display(&self) -> String {
        match self {
            Self::Folder(path) => path.display().to_string(),
            Self::Bucket { bucket, prefix } => format!("oci://{}/{prefix}", bucket.name()),
        }
    }

    /// Begins an object that must not be there yet.
    ///
    /// # Errors
    /// When the folder cannot be made, or the name is none.
    pub async fn begin(&self, name: &str, chunk_bytes: usize) -> anyhow::Result<Writer> {
        match self {
            Self::Folder(root) => FileWriter::begin(&root.join(name)).await.map(Writer::File),
            Self::Bucket { bucket, prefix } => {
                let options = UploadOptions {
                    put: PutOptions::default(),
                    parts_in_flight_max: (UPLOAD_BYTES_MAX / chunk_bytes.max(1)).max(1),
                };
                let name = object_name(prefix, name)?;
                let upload = Upload::new(bucket.clone(), name, options);
                Ok(Writer::Upload(Box::new(upload)))
            }
        }
    }

    /// Writes a small object that must not be there yet.
    ///
    /// # Errors
    /// When it is there, or cannot be written.
    pub async fn put(&self, name: &str, bytes: Bytes) -> anyhow::Result<()> {
        let mut writer = self.begin(name, bytes.len()).await?;
        writer.write(Chunk::new(bytes)).await?;
        writer.finish().await
    }

    /// Begins to read an object in chunks; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read, such as an archived one.
    pub async fn open(&self, name: &str, chunk_bytes: u64) -> anyhow::Result<Option<Reader>> {
        match self {
            Self::Folder(root) => {
                let file = FileReader::open(&root.join(name), chunk_bytes).await?;
                Ok(file.map(Reader::File))
            }
            Self::Bucket { bucket, prefix } => {
                let options = DownloadOptions {
                    range_bytes: chunk_bytes,
                    ranges_in_flight_max: (UPLOAD_BYTES_MAX as u64 / chunk_bytes.max(1)).clamp(1, 4)
                        as usize,
                };
                let name = object_name(prefix, name)?;
                match Download::open(bucket.clone(), name, options).await {
                    Ok(download) => Ok(Some(Reader::Download(Box::new(download)))),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// Reads a small object: `None` when there is none.
    ///
    /// # Errors
    /// When it is larger than `bytes_max`, or cannot be read.
    pub async fn get(&self, name: &str, bytes_max: u64) -> anyhow::Result<Option<Bytes>> {
        match self {
            Self::Folder(root) => {
                let path = root.join(name);
                let length = match fs::metadata(&path).await {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    found => found
                        .with_context(|| format!("read {}", path.display()))?
                        .len(),
                };
                if length > bytes_max {
                    bail!(
                        "{} has {length} bytes, the limit is {bytes_max}",
                        path.display()
                    );
                }
                let bytes = fs::read(&path).await;
                let bytes = bytes.with_context(|| format!("read {}", path.display()))?;
                Ok(Some(bytes.into()))
            }
            Self::Bucket { bucket, prefix } => {
                let name = object_name(prefix, name)?;
                Ok(bucket.get_small(&name, bytes_max).await?)
            }
        }
    }

    /// Every object whose name begins with `start`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self, start: &str) -> anyhow::Result<Vec<Found>> {
        match self {
            Self::Folder(root) => list_folder(root, start).await,
            Self::Bucket { bucket, prefix } => {
                let listed = bucket.list(&format!("{prefix}{start}")).await?;
                let found = |object: oci::object::Listed| {
                    let name = object.name.strip_prefix(prefix)?.to_owned();
                    Some(Found {
                        name,
                        bytes: object.size,
                    })
                };
                Ok(listed.into_iter().filter_map(found).collect())
            }
        }
    }

    /// Deletes an object; one that is gone is no error.
    ///
    /// # Errors
    /// Kind `Forbidden` in the chain where the credential may not.
    pub async fn delete(&self, name: &str) -> anyhow::Result<()> {
        match self {
            Self::Folder(root) => {
                let path = root.join(name);
                match fs::remove_file(&path).await {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        Err(error).with_context(|| format!("delete {}", path.display()))
                    }
                    _ => {
                        remove_empty_parents(root, &path).await;
                        Ok(())
                    }
                }
            }
            Self::Bucket { bucket, prefix } => {
                bucket.delete(&object_name(prefix, name)?, None).await?;
                Ok(())
            }
        }
    }
}

/// Whether an error says that the credential may not delete.
pub fn may_not_delete(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| {
        let error = cause.downcast_ref::<oci::Error>();
        error.is_some_and(|error| error.kind() == ErrorKind::Forbidden)
    })
}

fn object_name(prefix: &str, name: &str) -> anyhow::Result<ObjectName> {
    Ok(format!("{prefix}{name}").parse()?)
}

/// An object that is being written.
pub enum Writer {
    /// To a file.
    File(FileWriter),
    /// To a bucket.
    Upload(Box<Upload>),
}

impl Writer {
    /// Takes the next chunk.
    ///
    /// # Errors
    /// When it, or one before it, cannot be stored.
    pub async fn write(&mut self, chunk: Chunk) -> anyhow::Result<()> {
        let Chunk { bytes, sha256 } = chunk;
        match self {
            Self::File(file) => file.write(&bytes).await,
            Self::Upload(upload) => Ok(upload.write_summed(bytes, sha256).await?),
        }
    }

    /// Waits until a chunk could be taken at once.
    ///
    /// # Errors
    /// When one before it cannot be stored.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        match self {
            Self::File(_) => Ok(()),
            Self::Upload(upload) => Ok(upload.ready().await?),
        }
    }

    /// Makes the object appear, whole.
    ///
    /// # Errors
    /// When it is there already, or is not what was sent; then there is none of ours.
    pub async fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::File(file) => file.finish().await,
            Self::Upload(mut upload) => match upload.finish().await {
                Ok(_) => Ok(()),
                Err(error) => {
                    // The first error is the one that tells.
                    let _ = upload.abort().await;
                    Err(error.into())
                }
            },
        }
    }

    /// Gives it up and cleans up after it.
    ///
    /// # Errors
    /// When that cannot be done.
    pub async fn abort(self) -> anyhow::Result<()> {
        match self {
            Self::File(file) => file.abort().await,
            Self::Upload(upload) => Ok(upload.abort().await?),
        }
    }
}

/// An object that is being read.
pub enum Reader {
    /// From a file.
    File(FileReader),
    /// From a bucket.
    Download(Box<Download>),
}

impl Reader {
    /// In bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::File(file) => file.bytes,
            Self::Download(download) => download.head().size,
        }
    }

    /// The next chunk; only the last may be shorter.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        match self {
            Self::File(file) => file.next().await,
            Self::Download(download) => Ok(download.next().await?),
        }
    }
}
