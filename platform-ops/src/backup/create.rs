//! Makes a set: every stage with its own proof of success, the manifest last.

mod run;

use std::path::PathBuf;

use anyhow::Context as _;
use jiff::Timestamp;

use crate::backup::config::Limits;
use crate::backup::container;
use crate::backup::key::{Identities, Identity, Recipients};
use crate::backup::manifest::{Cluster, Encryption, FORMAT, Image, Manifest, Stages};
use crate::backup::redis::Redis;
use crate::backup::server::{Live, Server};
use crate::backup::store::Store;
use crate::backup::{listing, outcome};
use crate::disk;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

use run::Run;

/// The object of roles and tablespaces.
pub const GLOBALS: &str = "globals.sql.zst";
/// The least that Object Storage takes as a part.
const CHUNK_BYTES_MIN: usize = oci::object::PART_BYTES_MIN;
/// Above this the memory for parts in flight would be exceeded.
const CHUNK_BYTES_MAX: usize = 16 << 20;
/// An object of so many parts leaves half of them for a dump that is larger than its database.
const PARTS_AIM: u64 = 5_000;
/// A cluster that is smaller than this share of the last one lost something.
const SHRUNK_PERCENT: u64 = 50;

/// What to back up, and where to.
#[derive(Debug)]
pub struct Job {
    /// The server.
    pub server: Server,
    /// Redis, where there is one.
    pub redis: Option<Redis>,
    /// Databases to leave out.
    pub exclude: Vec<String>,
    /// Folders of the host.
    pub folders: Vec<PathBuf>,
    /// Where the set goes.
    pub store: Store,
    /// Who can open it.
    pub recipients: Recipients,
    /// Leave secrets readable by whoever reads the store.
    pub allow_plaintext_secrets: bool,
    /// Another cluster than the last set's is what is wanted.
    pub accept_new_cluster: bool,
    /// How much of the host the dumps may take.
    pub limits: Limits,
    /// JSON lines of progress.
    pub progress_lines: bool,
}

/// A set that was made, and the key that opens it once more.
#[derive(Debug)]
pub struct Made {
    /// The set.
    pub manifest: Manifest,
    /// SHA-256 of the manifest.
    pub manifest_sha256: String,
    /// Of this run alone.
    pub identities: Identities,
}

impl Job {
    /// Makes the set.
    ///
    /// # Errors
    /// Whatever stage failed: then there is no manifest, so no set.
    pub async fn run(&self, session: &Session) -> anyhow::Result<Made> {
        if self.recipients.is_empty() && !self.allow_plaintext_secrets {
            return Err(Failure::refused(
                "the set would hold password verifiers and configuration, and no recipient is configured",
            )
            .try_next("age-keygen on another machine, then recipients = [\"age1…\"] in config/backup.toml; or --allow-plaintext-secrets")
            .into());
        }
        let cluster = self
            .server
            .cluster()
            .await
            .context("ask the server what it is")?;
        let last = self.last(&cluster).await?;
        self.require_room(&cluster)?;
        // The write-ahead log grows while a snapshot is held.
        disk::require_room(&session.root)?;
        let made = self.make(session, cluster, last).await;
        if made.is_err() {
            // A client that is gone leaves its backend at work.
            let _ = self.server.end_own_sessions().await;
        }
        made
    }

    /// Databases to dump, and those that are left out.
    ///
    /// # Errors
    /// When none would be dumped.
    pub async fn databases(&self) -> anyhow::Result<(Vec<Live>, Vec<String>)> {
        let all = self
            .server
            .databases()
            .await
            .context("list the databases")?;
        let (excluded, wanted): (Vec<Live>, Vec<Live>) = all
            .into_iter()
            .partition(|database| self.exclude.contains(&database.name));
        if wanted.is_empty() {
            return Err(Failure::refused("no database is left to back up").into());
        }
        Ok((
            wanted,
            excluded.into_iter().map(|database| database.name).collect(),
        ))
    }

    /// The last set, which must be of this cluster; none where that does not matter.
    async fn last(&self, cluster: &Cluster) -> anyhow::Result<Option<Manifest>> {
        if self.accept_new_cluster {
            return Ok(None);
        }
        let last = listing::last_manifest(&self.store)
            .await
            .context("look at the last set")?;
        let Some(last) = last else {
            return Ok(None);
        };
        let before = &last.cluster;
        let what = if before.system_identifier != cluster.system_identifier {
            format!(
                "this is another cluster ({}) than that of the last set {} ({}): a missing mount makes an empty one",
                cluster.system_identifier, last.set, before.system_identifier
            )
        } else if cluster.bytes * 100 < before.bytes * SHRUNK_PERCENT {
            format!(
                "the databases have {} bytes, those of the last set {} had {}",
                cluster.bytes, last.set, before.bytes
            )
        } else {
            return Ok(Some(last));
        };
        Err(Failure::refused(what)
            .try_next("if that is what it should be: --accept-new-cluster")
            .into())
    }

    /// A dump is smaller than its database, but for rare ones.
    fn require_room(&self, cluster: &Cluster) -> anyhow::Result<()> {
        let Store::Folder(folder) = &self.store else {
            return Ok(());
        };
        let free = disk::room(folder)?.bytes_free;
        if free < cluster.bytes {
            let what = format!(
                "{} has {free} bytes free, the databases have {}",
                folder.display(),
                cluster.bytes
            );
            return Err(Failure::refused(what).into());
        }
        Ok(())
    }

    async fn make(
        &self,
        session: &Session,
        cluster: Cluster,
        last: Option<Manifest>,
    ) -> anyhow::Result<Made> {
        let identity = Identity::generate();
        let recipients = match self.recipients.is_empty() {
            true => Recipients::default(),
            false => self.recipients.clone().with(&identity),
        };
        let (live, databases_excluded) = self.databases().await?;
        let created = Timestamp::now();
        let mut run = Run {
            job: self,
            session,
            set: listing::new_set_id(created)?,
            last,
            recipients,
            objects: Vec::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
        };
        // Before its first object: whatever ends this run, the next one knows what is left of it.
        let store = self.store.display();
        outcome::update(session, |journal| journal.begin(&run.set, &store));
        let databases = run.databases(live).await?;
        run.globals().await?;
        let redis = run.redis().await?;
        let folders = run.folders().await?;
        let dumped = Timestamp::now();
        let images = self.images().await?;
        let encryption = (!self.recipients.is_empty()).then(|| Encryption {
            scheme: "age".to_owned(),
            recipients: self.recipients.names(),
            run_recipient: identity.recipient().to_string(),
        });
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            set: run.set.clone(),
            created,
            host: listing::host(),
            program: concat!("platform-ops ", env!("CARGO_PKG_VERSION")).to_owned(),
            cluster,
            encryption,
            databases,
            databases_excluded,
            redis,
            folders,
            images,
            objects: std::mem::take(&mut run.objects),
            stages: Stages {
                dumped,
                uploaded: Timestamp::now(),
                read_back: dumped,
            },
            warnings: std::mem::take(&mut run.warnings),
            notes: std::mem::take(&mut run.notes),
        };
        run.commit(manifest, Identities::of_run(&identity)).await
    }

    /// The very images that a drill starts.
    async fn images(&self) -> anyhow::Result<Vec<Image>> {
        let place = self.server.place();
        let found = container::find(self.server.docker(), &place.container, None).await?;
        let found = found.context("the server's container is gone")?;
        let redis = self
            .redis
            .as_ref()
            .map(|redis| ("redis", redis.container().image.clone()));
        let named = |(service, image): (&str, Image)| Image {
            service: service.to_owned(),
            ..image
        };
        Ok([("postgres", found.image)]
            .into_iter()
            .chain(redis)
            .map(named)
            .collect())
    }
}

/// A name that any file system and bucket takes: other bytes than letters, digits, `_` and `-` as
/// `%XX`.
pub fn file_name(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    name.bytes().fold(String::new(), |mut text, byte| {
        if plain(byte) {
            text.push(char::from(byte));
        } else {
            text += &format!("%{byte:02X}");
        }
        text
    })
}

/// How `backup create` ends for what a drill found.
pub fn exit_of(faults: &[String], warnings: &[String]) -> Exit {
    match (faults.is_empty(), warnings.is_empty()) {
        (false, _) => Exit::VERIFICATION_FAILED,
        (true, false) => Exit::WARNINGS,
        (true, true) => Exit::OK,
    }
}
