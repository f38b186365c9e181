//! Sets as a run would leave them, without a server: manifests, objects and proofs by the program's
//! own code, at times of the test's choosing.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "each test binary uses its part"
)]

use bytes::Bytes;
use jiff::Timestamp;
use platform_ops::backup::listing::{Proof, new_set_id, sum_file};
use platform_ops::backup::manifest::{
    Cluster, Compression, FORMAT, MANIFEST, MANIFEST_SUM, Manifest, Object, Stages,
};
use platform_ops::backup::seal::sha256;
use platform_ops::backup::store::Store;

/// Objects of a set beside its manifest.
pub const OBJECTS: [&str; 3] = ["database/a.pgdump", "globals.sql.zst", "catalog.json.zst"];

/// A folder in memory: every file of a store is made durable, which on a disk takes the test's time.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

/// Of which cluster a set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub identifier: u32,
    pub bytes: u64,
}

pub const SOURCE: Source = Source {
    identifier: 7,
    bytes: 1_000_000,
};

/// How far a run comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is killed after so many objects.
    Objects(usize),
    /// It is killed after the manifest's sum.
    Sum,
    /// To the end.
    Whole,
}

fn object(name: &str, bytes: &[u8]) -> Object {
    Object {
        name: name.to_owned(),
        compression: Compression::Zstd,
        bytes: bytes.len() as u64,
        sha256: sha256(bytes),
        chunk_bytes: bytes.len() as u64,
        chunks: vec![sha256(bytes)],
        plain_bytes: bytes.len() as u64,
        plain_sha256: sha256(bytes),
    }
}

/// Makes a set that began at `now`; its id and its manifest's sum.
pub async fn make(store: &Store, now: Timestamp, source: Source, reach: Reach) -> (String, String) {
    let set = new_set_id(now).unwrap();
    let content = |name: &str| format!("{set} {name}").into_bytes();
    for (index, name) in OBJECTS.iter().enumerate() {
        if reach == Reach::Objects(index) {
            return (set, String::new());
        }
        let bytes = Bytes::from(content(name));
        store.put(&format!("{set}/{name}"), bytes).await.unwrap();
    }
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        set: set.clone(),
        created: now,
        host: "test".to_owned(),
        program: "test".to_owned(),
        cluster: Cluster {
            system_identifier: source.identifier.to_string(),
            version: "17.6".to_owned(),
            superuser: "postgres".to_owned(),
            bytes: source.bytes,
            settings: Vec::new(),
        },
        encryption: None,
        databases: Vec::new(),
        databases_excluded: Vec::new(),
        redis: None,
        folders: Vec::new(),
        images: Vec::new(),
        objects: OBJECTS
            .iter()
            .map(|name| object(name, &content(name)))
            .collect(),
        stages: Stages {
            dumped: now,
            uploaded: now,
            read_back: now,
        },
        warnings: Vec::new(),
        notes: Vec::new(),
    };
    let bytes = manifest.to_bytes().unwrap();
    let sum = sha256(&bytes);
    let sum_name = format!("{set}/{MANIFEST_SUM}");
    store
        .put(&sum_name, Bytes::from(sum_file(&sum)))
        .await
        .unwrap();
    if reach == Reach::Whole {
        let name = format!("{set}/{MANIFEST}");
        store.put(&name, bytes.into()).await.unwrap();
    }
    (set, sum)
}

/// Records a drill of a whole set, with what it found wrong.
pub async fn drill(
    store: &Store,
    (set, sum): &(String, String),
    now: Timestamp,
    key: &str,
    faults: &[&str],
) {
    let mut proof = Proof::begin(set, sum, key, now);
    proof.faults = faults.iter().map(|fault| (*fault).to_owned()).collect();
    proof.complete = faults.is_empty();
    proof.store(store).await.unwrap();
}

/// Whether every object of a set is there.
pub async fn is_whole(store: &Store, set: &str) -> bool {
    let found = store.list(&format!("{set}/")).await.unwrap();
    let is_there = |name: &str| {
        found
            .iter()
            .any(|found| found.name == format!("{set}/{name}"))
    };
    OBJECTS
        .into_iter()
        .chain([MANIFEST, MANIFEST_SUM])
        .all(is_there)
}
