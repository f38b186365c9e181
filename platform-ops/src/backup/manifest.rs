//! The manifest: what a set holds, and how to tell that it is whole. Written last; without it there
//! is no set. `docs/backup.md` documents every field: it only grows within a format.

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::failure::Failure;

/// The version of the format.
pub const FORMAT: &str = "platform-ops-backup/1";
/// The manifest's name within a set.
pub const MANIFEST: &str = "manifest.json";
/// Its SHA-256, in the form that `sha256sum -c` reads.
pub const MANIFEST_SUM: &str = "manifest.sha256";
/// A larger manifest is not one of ours: a million tables fit.
pub const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// What a set holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The set's id, which begins with the time: also its folder.
    pub set: String,
    /// When the snapshots were opened.
    pub created: Timestamp,
    /// The host that made it.
    pub host: String,
    /// The program that made it, with its version.
    pub program: String,
    /// The server.
    pub cluster: Cluster,
    /// None when nothing is encrypted.
    pub encryption: Option<Encryption>,
    /// The databases.
    pub databases: Vec<Database>,
    /// Databases that were left out, by name.
    pub databases_excluded: Vec<String>,
    /// Redis, where there is one.
    pub redis: Option<Redis>,
    /// Folders, as they are named in the archive's object.
    pub folders: Vec<Folder>,
    /// The containers' images.
    pub images: Vec<Image>,
    /// Every object but the manifest itself.
    pub objects: Vec<Object>,
    /// When each stage was done.
    pub stages: Stages,
    /// What went not quite as it should.
    pub warnings: Vec<String>,
    /// What is as it should be and may surprise.
    pub notes: Vec<String>,
}

/// The server that the databases are of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Names the cluster since its initdb.
    pub system_identifier: String,
    /// Such as `17.6 (Debian 17.6-1)`.
    pub version: String,
    /// The superuser that initdb made.
    pub superuser: String,
    /// The sum of its databases, in bytes.
    pub bytes: u64,
    /// Settings that are not at their default, without those that may hold secrets.
    #[serde(default)]
    pub settings: Vec<Setting>,
}

/// A setting of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// How objects are encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// `age` (age-encryption.org/v1).
    pub scheme: String,
    /// Public keys of those who can open it.
    pub recipients: Vec<String>,
    /// A key of this run, whose private half is gone since the run ended.
    pub run_recipient: String,
}

/// A database of the set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// The object that holds its dump.
    pub object: String,
    /// Bytes on the server's disk.
    pub bytes: u64,
    /// The write-ahead log's position when its snapshot was opened.
    pub lsn: String,
    /// Its encoding, such as `UTF8`.
    pub encoding: String,
    /// A digest of all privileges on its schemas, tables and sequences.
    pub grants: Option<String>,
    /// Its extensions.
    pub extensions: Vec<Extension>,
    /// Rows of `alembic_version`, where there is such a table.
    pub alembic: Vec<String>,
    /// Its tables and their rows, by the dump's own snapshot.
    pub tables: Vec<Table>,
    /// Its sequences, by the dump's own snapshot.
    pub sequences: Vec<Sequence>,
}

/// An extension of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A table of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `select count(*)`.
    pub rows: u64,
}

/// A sequence of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// None before its first value.
    pub last: Option<i64>,
}

/// Redis, as it was saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redis {
    /// Its version.
    pub version: String,
    /// The object that holds its RDB.
    pub object: String,
    /// Keys right before the save and right after it: writes go on meanwhile.
    pub keys: [u64; 2],
    /// Modules: an image without them cannot load it.
    pub modules: Vec<String>,
}

/// A folder of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Where it was.
    pub path: String,
    /// The object that holds it as a tar archive.
    pub object: String,
    /// Files in it.
    pub files: u64,
}

/// A container's image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `postgres` or `redis`.
    pub service: String,
    /// The container.
    pub container: String,
    /// As the container names it.
    pub name: String,
    /// The engine's id of it.
    pub id: String,
    /// Repository digests, where it was pulled.
    pub digests: Vec<String>,
}

/// How an object's bytes were made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not by this program: pg_dump compresses inside its own format.
    Inner,
    /// A zstd frame with a checksum.
    Zstd,
}

/// An object of the set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its name within the set.
    pub name: String,
    /// How it was made smaller.
    pub compression: Compression,
    /// Stored bytes: encrypted, if the set is.
    pub bytes: u64,
    /// SHA-256 of the stored bytes, in hex.
    pub sha256: String,
    /// Every chunk but the last has so many bytes.
    pub chunk_bytes: u64,
    /// SHA-256 of each chunk of the stored bytes, in hex.
    pub chunks: Vec<String>,
    /// Bytes before compression and encryption.
    pub plain_bytes: u64,
    /// SHA-256 of them, in hex.
    pub plain_sha256: String,
}

/// When each stage was done. A drill comes later and is recorded in an object of its own.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Stages {
    /// All dumps were made.
    pub dumped: Timestamp,
    /// All objects were stored, by the service's own checksums.
    pub uploaded: Timestamp,
    /// All objects were read back, opened and compared.
    pub read_back: Timestamp,
}

impl Manifest {
    /// Reads one, and refuses what this program does not understand.
    ///
    /// # Errors
    /// [`Exit::VERIFICATION_FAILED`] when it is no manifest, or contradicts itself.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Format {
            format: String,
        }
        let broken = || Failure::new(Exit::VERIFICATION_FAILED, "the manifest cannot be read");
        let format: Format = serde_json::from_slice(bytes).with_context(broken)?;
        if format.format != FORMAT {
            bail!(
                "the manifest is of format {:?}, this program reads {FORMAT:?}",
                format.format
            );
        }
        let manifest: Self = serde_json::from_slice(bytes).with_context(broken)?;
        for object in &manifest.objects {
            object.check().with_context(broken)?;
        }
        Ok(manifest)
    }

    /// As it is stored.
    ///
    /// # Errors
    /// Never, but for a fault of this program.
    pub fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).context("write the manifest")
    }

    /// An object by its name.
    pub fn object(&self, name: &str) -> anyhow::Result<&Object> {
        let found = self.objects.iter().find(|object| object.name == name);
        found.with_context(|| {
            Failure::new(
                Exit::VERIFICATION_FAILED,
                format!("set {}: the manifest names no object {name}", self.set),
            )
        })
    }

    /// Stored bytes of all objects.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }
}

impl Object {
    fn check(&self) -> anyhow::Result<()> {
        let chunks = self.bytes.div_ceil(self.chunk_bytes.max(1));
        if self.chunk_bytes == 0 || chunks != self.chunks.len() as u64 {
            bail!(
                "{}: {} chunks do not make {} bytes",
                self.name,
                self.chunks.len(),
                self.bytes
            );
        }
        Ok(())
    }
}
