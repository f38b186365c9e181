//! One run: object by object, the manifest last.

use anyhow::Context as _;
use bytes::Bytes;
use jiff::Timestamp;

use super::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, GLOBALS, Job, Made, PARTS_AIM, file_name};
use crate::backup::catalog::{self, Catalog};
use crate::backup::key::{Identities, Recipients};
use crate::backup::listing::sum_file;
use crate::backup::manifest::{
    Compression, Database, Folder, MANIFEST, MANIFEST_SUM, Manifest, Object,
};
use crate::backup::open::Opener;
use crate::backup::progress::Progress;
use crate::backup::seal::{Recipe, sha256};
use crate::backup::server::{Live, Snapshot};
use crate::backup::stream::{self, send};
use crate::backup::{check, redis, source, tree};
use crate::output::Output;
use crate::session::Session;

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) job: &'a Job,
    pub(super) session: &'a Session,
    pub(super) set: String,
    /// The set before, whose sizes are what this one's are expected to be.
    pub(super) last: Option<Manifest>,
    pub(super) recipients: Recipients,
    pub(super) objects: Vec<Object>,
    pub(super) warnings: Vec<String>,
    pub(super) notes: Vec<String>,
}

impl Run<'_> {
    fn output(&self) -> Output {
        self.session.output
    }

    fn recipe(&self, name: &str, compression: Compression, bytes: u64) -> Recipe {
        let aim = usize::try_from(bytes / PARTS_AIM).unwrap_or(CHUNK_BYTES_MAX);
        let suffix = if self.recipients.is_empty() {
            ""
        } else {
            ".age"
        };
        Recipe {
            name: format!("{name}{suffix}"),
            compression,
            recipients: self.recipients.clone(),
            chunk_bytes: aim
                .next_multiple_of(1 << 20)
                .clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX),
        }
    }

    /// Stores one object; a signal ends it at once.
    async fn store<F>(
        &mut self,
        recipe: Recipe,
        produce: impl FnOnce(tokio::sync::mpsc::Sender<Bytes>) -> F,
    ) -> anyhow::Result<String>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let name = recipe.name.clone();
        let lines = self.job.progress_lines;
        let total = expected(self.last.as_ref(), &name);
        let progress = Progress::begin(self.output(), &name, total, lines);
        let produce = |sender| {
            let interrupt = self.session.interrupt.clone();
            let producing = produce(sender);
            async move {
                tokio::select! {
                    produced = producing => produced,
                    () = interrupt.wait() => Err(interrupt.failure().into()),
                }
            }
        };
        let object = stream::store(&self.job.store, &self.set, recipe, &progress, produce).await?;
        self.objects.push(object);
        Ok(name)
    }

    /// All snapshots are opened before the first is dumped.
    pub(super) async fn databases(&mut self, live: Vec<Live>) -> anyhow::Result<Vec<Database>> {
        let server = &self.job.server;
        let mut snapshots = Vec::with_capacity(live.len());
        for database in live {
            snapshots.push(server.snapshot(database).await?);
        }
        // Of the same moment, as near as can be.
        let catalog = Catalog::read(server)
            .await
            .context("read owners, grants and settings")?;
        let catalog = serde_json::to_vec(&catalog)?;
        let mut databases = Vec::with_capacity(snapshots.len());
        for snapshot in snapshots {
            databases.push(self.database(snapshot).await?);
        }
        let recipe = self.recipe(catalog::OBJECT, Compression::Zstd, 0);
        self.store(
            recipe,
            |sink| async move { send(&sink, catalog.into()).await },
        )
        .await?;
        Ok(databases)
    }

    async fn database(&mut self, mut snapshot: Snapshot) -> anyhow::Result<Database> {
        let name = format!("database/{}.pgdump", file_name(&snapshot.database.name));
        let recipe = self.recipe(&name, Compression::Inner, snapshot.database.bytes);
        let mut inventory = snapshot.inventory(&recipe.name).await?;
        inventory.grants = check::grants(&self.job.server, &inventory.name).await?;
        if inventory.tables.is_empty() {
            self.notes
                .push(format!("database {} has no tables", inventory.name));
        }
        let server = &self.job.server;
        let limits = self.job.limits;
        let (database, id) = (inventory.name.clone(), snapshot.id.clone());
        let (counted, tables) = (&mut snapshot, &mut inventory.tables);
        // Of the same snapshot: neither has to wait for the other.
        let produce = |sink| async move {
            let dump = source::dump(server, &database, &id, limits, sink);
            tokio::try_join!(counted.count(tables), dump).map(drop)
        };
        self.store(recipe, produce).await?;
        snapshot.close().await?;
        Ok(inventory)
    }

    pub(super) async fn globals(&mut self) -> anyhow::Result<()> {
        let recipe = self.recipe(GLOBALS, Compression::Zstd, 0);
        let server = &self.job.server;
        self.store(recipe, |sink| source::globals(server, sink))
            .await?;
        Ok(())
    }

    pub(super) async fn redis(&mut self) -> anyhow::Result<Option<crate::backup::manifest::Redis>> {
        let Some(redis) = &self.job.redis else {
            self.warnings
                .push("no Redis container runs here".to_owned());
            return Ok(None);
        };
        let before = redis.keys().await?;
        let recipe = self.recipe(redis::OBJECT, Compression::Zstd, 0);
        let object = self.store(recipe, |sink| redis.save(sink)).await?;
        let after = redis.keys().await?;
        let mut described = redis.describe([before, after]).await?;
        described.object = object;
        Ok(Some(described))
    }

    pub(super) async fn folders(&mut self) -> anyhow::Result<Vec<Folder>> {
        let mut folders = Vec::new();
        for path in &self.job.folders {
            let name = file_name(path.to_string_lossy().trim_matches('/'));
            let recipe = self.recipe(&format!("folder/{name}.tar.zst"), Compression::Zstd, 0);
            let (result, mut packed) = tokio::sync::oneshot::channel();
            let source = path.clone();
            let pack = |sink| async move {
                let packed = tokio::task::spawn_blocking(move || tree::pack(&source, sink));
                let packed = packed.await.context("pack")??;
                // The receiver waits below.
                let _ = result.send(packed);
                Ok(())
            };
            let object = self.store(recipe, pack).await?;
            let packed = packed.try_recv().context("pack")?;
            self.warnings.extend(packed.warnings);
            folders.push(Folder {
                path: path.to_string_lossy().into_owned(),
                object,
                files: packed.files,
            });
        }
        Ok(folders)
    }

    /// Reads everything back with the run's own key, then makes the set exist.
    pub(super) async fn commit(
        self,
        mut manifest: Manifest,
        identities: Identities,
    ) -> anyhow::Result<Made> {
        let store = &self.job.store;
        let lines = self.job.progress_lines;
        let progress = Progress::begin(self.output(), "read back", manifest.bytes(), lines);
        for object in &manifest.objects {
            self.session.interrupt.check()?;
            let opener = Opener {
                store,
                manifest: &manifest,
                identities: &identities,
                progress: &progress,
            };
            opener
                .check(object)
                .await
                .context("read back what was stored")?;
        }
        manifest.stages.read_back = Timestamp::now();
        let bytes = manifest.to_bytes()?;
        let manifest_sha256 = sha256(&bytes);
        let name = |name| format!("{}/{name}", self.set);
        let sum = Bytes::from(sum_file(&manifest_sha256));
        store
            .put(&name(MANIFEST_SUM), sum)
            .await
            .context("store the manifest's sum")?;
        store
            .put(&name(MANIFEST), bytes.into())
            .await
            .context("store the manifest")?;
        Ok(Made {
            manifest,
            manifest_sha256,
            identities,
        })
    }
}

/// How many bytes an object will have, by the set before; 0 when nothing is known.
fn expected(last: Option<&Manifest>, name: &str) -> u64 {
    let object = last.and_then(|last| last.object(name).ok());
    object.map_or(0, |object| object.bytes)
}
