//! The sets of a store: those that exist, those that were never finished, and what is not ours.

use std::collections::BTreeMap;

use anyhow::Context as _;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backup::manifest::{MANIFEST, MANIFEST_BYTES_MAX, MANIFEST_SUM, Manifest};
use crate::backup::seal::sha256;
use crate::backup::store::{Found, Store};
use crate::exit::Exit;
use crate::failure::Failure;

/// The version of a proof's format.
const PROOF_FORMAT: &str = "platform-ops-proof/1";
const PROOFS: &str = "proofs/";
const PROOF_BYTES_MAX: u64 = 4 << 20;

/// A set's id: its time and four random bytes, so that ids sort by time.
pub fn new_set_id(now: Timestamp) -> anyhow::Result<String> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).context("no random bytes")?;
    let random = crate::backup::seal::hex(&random);
    Ok(format!("{}-{random}", now.strftime("%Y%m%dT%H%M%SZ")))
}

/// The time in a set's id; `None` for a name that is none.
pub fn set_time(id: &str) -> Option<Timestamp> {
    let (time, random) = id.split_once('-')?;
    let hex = random.len() == 8 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = time.len() == 16 && time.is_char_boundary(8);
    if !hex || !digits {
        return None;
    }
    let (date, clock) = time.split_at(8);
    let clock = clock.strip_prefix('T')?.strip_suffix('Z')?;
    let all = [date, clock].concat();
    if !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &clock[..2],
        &clock[2..4],
        &clock[4..]
    )
    .parse()
    .ok()
}

/// That a set was restored, or could not be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// The version of this format.
    pub format: String,
    /// The set.
    pub set: String,
    /// The manifest that was proven.
    pub manifest_sha256: String,
    /// When.
    pub at: Timestamp,
    /// Where.
    pub host: String,
    /// `run` for the key of the run that made the set, `escrow` for one that was given.
    pub identity: String,
    /// Databases that were restored.
    pub databases: Vec<String>,
    /// Whether that is all there is in the set.
    pub complete: bool,
    /// How long it took.
    pub seconds: f64,
    /// What was looked at, and found right.
    pub checks: Vec<String>,
    /// What was found wrong: none for a proof.
    pub faults: Vec<String>,
}

impl Proof {
    /// Of a drill that begins now.
    pub fn begin(set: &str, manifest_sha256: &str, identity: &str, now: Timestamp) -> Self {
        Self {
            format: PROOF_FORMAT.to_owned(),
            set: set.to_owned(),
            manifest_sha256: manifest_sha256.to_owned(),
            at: now,
            host: host(),
            identity: identity.to_owned(),
            databases: Vec::new(),
            complete: false,
            seconds: 0.0,
            checks: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Stores it beside its set, under a name that holds its digest.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn store(&self, store: &Store) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec_pretty(self).context("write the proof")?;
        let time = self.at.strftime("%Y%m%dT%H%M%SZ");
        let digest = &sha256(&bytes)[..16];
        let name = format!("{}/{PROOFS}{time}-{digest}.json", self.set);
        store
            .put(&name, Bytes::from(bytes))
            .await
            .context("store the proof")
    }

    async fn load(store: &Store, name: &str) -> anyhow::Result<Self> {
        let bytes = store.get(name, PROOF_BYTES_MAX).await?;
        let bytes = bytes.with_context(|| format!("{name} is gone"))?;
        let digest = name
            .trim_end_matches(".json")
            .rsplit_once('-')
            .map(|(_, digest)| digest);
        if digest != Some(&sha256(&bytes)[..16]) {
            let what = format!("{name} is damaged: its digest is not that of its name");
            return Err(Failure::new(Exit::VERIFICATION_FAILED, what).into());
        }
        serde_json::from_slice(&bytes).with_context(|| format!("read {name}"))
    }

    /// Whether it proves all of this manifest.
    pub fn proves(&self, manifest_sha256: &str) -> bool {
        self.complete && self.faults.is_empty() && self.manifest_sha256 == manifest_sha256
    }
}

/// This host's name.
pub fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// A set that exists.
#[derive(Clone, Debug)]
pub struct Set {
    /// Its manifest.
    pub manifest: Manifest,
    /// SHA-256 of the manifest's bytes.
    pub manifest_sha256: String,
    /// Drills, oldest first.
    pub proofs: Vec<Proof>,
}

impl Set {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.manifest.set
    }

    /// Whether a drill restored all of it.
    pub fn is_proven(&self) -> bool {
        self.proofs
            .iter()
            .any(|proof| proof.proves(&self.manifest_sha256))
    }

    /// Reads one set.
    ///
    /// # Errors
    /// [`Exit::NOTHING_TO_RESTORE`] when there is none of this id, [`Exit::VERIFICATION_FAILED`]
    /// when its manifest is damaged.
    pub async fn load(store: &Store, id: &str) -> anyhow::Result<Self> {
        let (manifest, manifest_sha256) = load_manifest(store, id).await?;
        let mut proofs = Vec::new();
        for found in store.list(&format!("{id}/{PROOFS}")).await? {
            proofs.push(Proof::load(store, &found.name).await?);
        }
        Ok(Self {
            manifest,
            manifest_sha256,
            proofs,
        })
    }
}

async fn load_manifest(store: &Store, id: &str) -> anyhow::Result<(Manifest, String)> {
    let bytes = store
        .get(&format!("{id}/{MANIFEST}"), MANIFEST_BYTES_MAX)
        .await?;
    let Some(bytes) = bytes else {
        let what = format!("{} holds no set {id}", store.display());
        return Err(Failure::new(Exit::NOTHING_TO_RESTORE, what)
            .try_next("platform-ops backup list")
            .into());
    };
    let sum = store
        .get(&format!("{id}/{MANIFEST_SUM}"), 1024)
        .await?
        .unwrap_or_default();
    let actual = sha256(&bytes);
    if sum != sum_file(&actual).as_bytes() {
        let what = format!("set {id}: {MANIFEST} is not the one that {MANIFEST_SUM} names");
        return Err(Failure::new(Exit::VERIFICATION_FAILED, what).into());
    }
    let manifest = Manifest::parse(&bytes).with_context(|| format!("set {id}"))?;
    if manifest.set != id {
        let what = format!("the manifest in {id} is of set {}", manifest.set);
        return Err(Failure::new(Exit::VERIFICATION_FAILED, what).into());
    }
    Ok((manifest, actual))
}

/// A fault of the set itself, and not of the way to it.
pub fn is_about_set(error: &anyhow::Error) -> bool {
    let archived = |error: &oci::Error| error.kind() == oci::ErrorKind::Archived;
    crate::failure::of(error).is_some()
        || error
            .chain()
            .filter_map(|cause| cause.downcast_ref())
            .any(archived)
}

/// The manifest of the youngest set that can be read; the others are not looked at.
///
/// # Errors
/// When the store cannot be read.
pub async fn last_manifest(store: &Store) -> anyhow::Result<Option<Manifest>> {
    let found = store.list("").await?;
    let ids = found.iter().filter_map(|found| {
        let (id, name) = found.name.split_once('/')?;
        (name == MANIFEST && set_time(id).is_some()).then_some(id)
    });
    let mut ids: Vec<&str> = ids.collect();
    ids.sort_by_key(|id| std::cmp::Reverse(set_time(id)));
    for id in ids {
        match load_manifest(store, id).await {
            Ok((manifest, _)) => return Ok(Some(manifest)),
            Err(error) if is_about_set(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The text of [`MANIFEST_SUM`].
pub fn sum_file(sha256: &str) -> String {
    format!("{sha256}  {MANIFEST}\n")
}

/// What a store holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// Sets, oldest first.
    pub sets: Vec<Set>,
    /// Sets whose manifest or proofs cannot be read, and why.
    pub broken: Vec<(String, String)>,
    /// Ids of sets without a manifest: under way, or given up.
    pub unfinished: Vec<String>,
    /// Objects that this program did not make.
    pub foreign: Vec<Found>,
    /// Objects of each set.
    pub objects: BTreeMap<String, Vec<Found>>,
}

impl Listing {
    /// Reads all manifests of a store.
    ///
    /// # Errors
    /// When the store cannot be read; a damaged set is in the listing instead.
    pub async fn read(store: &Store) -> anyhow::Result<Self> {
        let mut listing = Self::default();
        for found in store.list("").await? {
            match found.name.split_once('/') {
                Some((id, _)) if set_time(id).is_some() => {
                    listing
                        .objects
                        .entry(id.to_owned())
                        .or_default()
                        .push(found);
                }
                _ => listing.foreign.push(found),
            }
        }
        for (id, objects) in &listing.objects {
            let manifest = format!("{id}/{MANIFEST}");
            if !objects.iter().any(|found| found.name == manifest) {
                listing.unfinished.push(id.clone());
                continue;
            }
            match Set::load(store, id).await {
                Ok(set) => listing.sets.push(set),
                Err(error) if is_about_set(&error) => {
                    listing.broken.push((id.clone(), format!("{error:#}")));
                }
                Err(error) => return Err(error),
            }
        }
        // By recorded time: names of another version may sort otherwise.
        listing
            .sets
            .sort_by_key(|set| (set.manifest.created, set.manifest.set.clone()));
        Ok(listing)
    }

    /// The set of this id, the last one made before a time, or for `latest` the latest: a proven one
    /// where there is one.
    ///
    /// # Errors
    /// [`Exit::NOTHING_TO_RESTORE`], also for a time before the first set.
    pub fn choose(&self, id: &str) -> anyhow::Result<&Set> {
        if let Ok(time) = id.parse::<Timestamp>() {
            return self.at(time);
        }
        let found = match id {
            "latest" => {
                let proven = self.sets.iter().rev().find(|set| set.is_proven());
                proven.or(self.sets.last())
            }
            id => self.sets.iter().find(|set| set.id() == id),
        };
        if let Some((_, why)) = self.broken.iter().find(|(broken, _)| broken == id) {
            return Err(Failure::new(Exit::VERIFICATION_FAILED, why.clone()).into());
        }
        found.with_context(|| {
            Failure::new(Exit::NOTHING_TO_RESTORE, format!("there is no set {id}"))
                .try_next("platform-ops backup list")
        })
    }
}

impl Listing {
    fn at(&self, time: Timestamp) -> anyhow::Result<&Set> {
        let before = |set: &&Set| set.manifest.created <= time;
        self.sets.iter().rev().find(before).with_context(|| {
            let what = match self.sets.first() {
                Some(first) => format!(
                    "the first set is of {}, after {time}: nothing of that time can be had back",
                    first.manifest.created
                ),
                None => "there is no set".to_owned(),
            };
            Failure::new(Exit::NOTHING_TO_RESTORE, what).try_next("platform-ops backup list")
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_id_holds_its_time() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let id = new_set_id(now).unwrap();
        assert!(id.starts_with("20260102T030405Z-"), "{id}");
        assert_eq!(set_time(&id), Some(now));
        for other in [
            "",
            "trading_db-20260102.sql.gz",
            "20260102T030405Z-",
            "20261302T030405Z-00000000",
        ] {
            assert_eq!(set_time(other), None, "{other}");
        }
    }
}
