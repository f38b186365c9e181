//! Redis comes back in the order that its append-only file demands: where that is on, Redis ignores
//! an RDB beside it and starts empty. The new files are made while the old Redis works, and one rename
//! that exchanges the two puts them in place: what Redis starts with is the old or the new.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bollard::Docker;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use crate::backup::exec::{self, Program};
use crate::backup::key::Identities;
use crate::backup::listing::Set;
use crate::backup::manifest::{Manifest, Object};
use crate::backup::open::Opener;
use crate::backup::progress::Progress;
use crate::backup::redis::{Redis, keys_in};
use crate::backup::redis_files::{RDB, exchange_files};
use crate::backup::store::Store;
use crate::backup::throwaway::{Caps, READY_MAX, Spec, Throwaway};
use crate::container::Container;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::guard::Duty;
use crate::plan::{Action, Consent, Effect, Plan};
use crate::session::Session;

/// A folder in Redis's where new files are made; one that a killed run left is removed.
const MAKING: &str = "restore_";
/// Loading takes several times the file.
const MEMORY_FACTOR: i64 = 4;
/// A rewrite of the append-only file, and loading a large RDB.
const WAIT_MAX: Duration = Duration::from_secs(900);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What the steps share.
#[derive(Debug)]
pub struct Scene {
    /// Where the set is.
    pub store: Store,
    /// The set.
    pub set: Set,
    /// Keys to open it.
    pub identities: Identities,
    /// The live Redis.
    pub redis: Redis,
    /// Its container.
    pub container: Container,
}

/// A step of Redis's restore.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Step {
    /// Compares every byte that will be used.
    Verify {
        /// What is shared.
        #[serde(skip)]
        scene: Arc<Scene>,
    },
    /// Makes Redis's files of the set beside those of now, and loads them once.
    Prepare {
        /// Where.
        making: PathBuf,
        /// What is shared.
        #[serde(skip)]
        scene: Arc<Scene>,
    },
    /// Stops Redis, exchanges its files for those of the set, and starts it.
    Replace {
        /// Where the new files are.
        making: PathBuf,
        /// Where the files of now are kept.
        kept: PathBuf,
        /// What is shared.
        #[serde(skip)]
        scene: Arc<Scene>,
    },
}

impl Action for Step {
    fn summary(&self) -> String {
        match self {
            Self::Verify { .. } => "compare every byte of Redis's data in the set".to_owned(),
            Self::Prepare { making, .. } => {
                format!("make and load Redis's files in {}", making.display())
            }
            Self::Replace { kept, scene, .. } => format!(
                "stop {}, set its files aside in {}, start it with those of the set",
                scene.container.name,
                kept.display()
            ),
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Verify { .. } => Effect::Check,
            Self::Prepare { .. } => Effect::Create,
            Self::Replace { .. } => Effect::Change,
        }
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Verify { scene } => {
                let progress = Progress::silent();
                scene.opener(&progress).check(scene.object()?).await
            }
            Self::Prepare { making, scene } => {
                let made = tokio::select! {
                    made = scene.prepare(session, making) => made,
                    () = session.interrupt.wait() => Err(session.interrupt.failure().into()),
                };
                if made.is_err() {
                    let _ = std::fs::remove_dir_all(making);
                }
                made
            }
            Self::Replace {
                making,
                kept,
                scene,
            } => scene.replace(session, making, kept).await,
        }
    }
}

/// The plan of restoring Redis.
///
/// # Errors
/// When the set holds none, or its folder cannot be found on this host.
pub async fn plan(scene: Arc<Scene>) -> anyhow::Result<Plan<Step>> {
    let saved = scene.saved()?;
    let now = scene.redis.keys().await?;
    let stamp = Timestamp::now().strftime("%Y%m%d%H%M%S");
    let folder = scene.folder()?;
    let (making, kept) = (
        folder.join(format!("{MAKING}{stamp}")),
        folder.join(format!("before_{stamp}")),
    );
    let mut plan = Plan::new("restore redis");
    plan.require(Consent::Name(scene.container.name.clone()));
    plan.note(format!(
        "set {} holds {} keys; the {now} keys of now stay in {}",
        scene.set.id(),
        saved.keys[1],
        kept.display()
    ));
    plan.note(format!(
        "what Redis was given since {} is discarded",
        scene.manifest().created
    ));
    plan.push(Step::Verify {
        scene: scene.clone(),
    });
    plan.push(Step::Prepare {
        making: making.clone(),
        scene: scene.clone(),
    });
    plan.push(Step::Replace {
        making,
        kept,
        scene,
    });
    Ok(plan)
}

impl Scene {
    fn manifest(&self) -> &Manifest {
        &self.set.manifest
    }

    fn opener<'a>(&'a self, progress: &'a Progress) -> Opener<'a> {
        Opener {
            store: &self.store,
            manifest: self.manifest(),
            identities: &self.identities,
            progress,
        }
    }

    fn saved(&self) -> anyhow::Result<&crate::backup::manifest::Redis> {
        self.manifest().redis.as_ref().with_context(|| {
            let what = format!("set {} holds no Redis", self.set.id());
            Failure::new(Exit::NOTHING_TO_RESTORE, what)
        })
    }

    fn object(&self) -> anyhow::Result<&Object> {
        self.manifest().object(&self.saved()?.object)
    }

    /// Redis's folder as the host sees it.
    fn folder(&self) -> anyhow::Result<PathBuf> {
        let mut mounts = self.container.mounts.iter();
        let mount = mounts.find(|mount| mount.destination == "/data");
        let mount = mount.with_context(|| {
            Failure::refused(format!(
                "container {} has no mount at /data",
                self.container.name
            ))
        })?;
        Ok(PathBuf::from(&mount.source))
    }

    async fn prepare(&self, session: &Session, making: &Path) -> anyhow::Result<()> {
        let folder = self.folder()?;
        let failed = || format!("make {}", making.display());
        for entry in std::fs::read_dir(&folder).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            if entry.file_name().to_string_lossy().starts_with(MAKING) {
                std::fs::remove_dir_all(entry.path()).with_context(failed)?;
            }
        }
        let need = self.object()?.plain_bytes.saturating_mul(2);
        let free = crate::disk::room(&folder)?.bytes_free;
        if free < need {
            let what = format!(
                "{} has {free} bytes free, {need} are needed",
                folder.display()
            );
            return Err(Failure::refused(what).into());
        }
        std::fs::create_dir(making).with_context(failed)?;
        let owner = std::fs::metadata(&folder).with_context(failed)?;
        chown(making, Some(owner.uid()), Some(owner.gid())).with_context(failed)?;
        self.write(&making.join(RDB)).await?;
        self.load(session, making).await
    }

    async fn replace(&self, session: &Session, making: &Path, kept: &Path) -> anyhow::Result<()> {
        let folder = self.folder()?;
        let appends = self.redis.appends().await?;
        let engine = session.engine().await?;
        let name = &self.container.name;
        // Whatever happens from here on, Redis runs again.
        let held = session.guard.hold(Duty::Start(name.clone()))?;
        // A stop that was asked for is not undone by a restart policy.
        engine.stop(name).await.context("stop Redis")?;
        let replaced = exchange_files(&folder, making, kept, appends);
        engine.start(name).await.context("start Redis")?;
        held.done();
        replaced?;
        self.compare().await
    }

    /// Writes the RDB, whole or not at all.
    async fn write(&self, path: &Path) -> anyhow::Result<()> {
        let failed = || format!("write {}", path.display());
        let partial = path.with_extension("rdb.partial");
        let (sender, pieces) = mpsc::channel::<Bytes>(4);
        let progress = Progress::silent();
        let opener = self.opener(&progress);
        let mut file = tokio::fs::File::create(&partial)
            .await
            .with_context(failed)?;
        let write = async {
            // Gone with this, so that nobody waits for a disk that is full.
            let mut pieces = pieces;
            while let Some(piece) = pieces.recv().await {
                file.write_all(&piece).await?;
            }
            file.sync_all().await
        };
        let (opened, written) = tokio::join!(opener.open(self.object()?, sender), write);
        opened?;
        written.with_context(failed)?;
        if let Some(owner) = path
            .parent()
            .and_then(|folder| std::fs::metadata(folder).ok())
        {
            chown(&partial, Some(owner.uid()), Some(owner.gid())).with_context(failed)?;
        }
        std::fs::rename(&partial, path).with_context(failed)
    }

    /// Has a Redis of its own load the RDB, and write the append-only file where one is kept.
    async fn load(&self, session: &Session, folder: &Path) -> anyhow::Result<()> {
        let run = self.set.id();
        let held = session.guard.hold(Duty::Remove(run.to_owned()))?;
        let docker = session.engine().await?.docker();
        let command = [
            "redis-server",
            "--dir",
            "/data",
            "--save",
            "",
            "--appendonly",
            "no",
        ];
        let bytes = i64::try_from(self.object()?.plain_bytes).unwrap_or(i64::MAX);
        let caps = Caps::default();
        let memory = bytes.saturating_mul(MEMORY_FACTOR).max(caps.memory_bytes);
        let spec = Spec {
            image: self.container.image_id.clone(),
            command: command.map(str::to_owned).to_vec(),
            binds: vec![format!("{}:/data", folder.display())],
            caps: Caps {
                memory_bytes: memory,
                ..caps
            },
            ..Spec::default()
        };
        let helper = Throwaway::start(docker, run, spec).await?;
        let program = |command: &[&str]| Program::new(helper.id(), command.iter().copied());
        helper
            .ready(
                program(&["sh", "-c", "redis-cli -e ping | grep -qx PONG"]),
                READY_MAX,
            )
            .await?;
        let keys = exec::text(
            docker,
            program(&["redis-cli", "-e", "info", "keyspace"]),
            b"",
        );
        self.require_keys(keys_in(&keys.await?))?;
        if self.redis.appends().await? {
            self.append(docker, &helper).await?;
        }
        // It ends under the client: what it says of that is no error.
        let end = program(&["redis-cli", "shutdown", "nosave"]);
        let _ = exec::run(docker, end, b"", 1 << 16).await;
        helper.remove().await?;
        held.done();
        Ok(())
    }

    async fn append(&self, docker: &Docker, helper: &Throwaway) -> anyhow::Result<()> {
        let program = |command: &[&str]| Program::new(helper.id(), command.iter().copied());
        let set = program(&["redis-cli", "-e", "config", "set", "appendonly", "yes"]);
        exec::text(docker, set, b"").await?;
        let began = Instant::now();
        loop {
            let info = exec::text(
                docker,
                program(&["redis-cli", "-e", "info", "persistence"]),
                b"",
            );
            let info = info.await?;
            let says = |line: &str| info.lines().any(|other| other.trim_end() == line);
            let done = says("aof_enabled:1")
                && says("aof_rewrite_in_progress:0")
                && says("aof_rewrite_scheduled:0");
            if done && says("aof_last_bgrewrite_status:ok") {
                return Ok(());
            }
            if began.elapsed() > WAIT_MAX || (done && says("aof_last_bgrewrite_status:err")) {
                bail!("Redis did not write its append-only file");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn compare(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let keys = loop {
            match self.redis.keys().await {
                Ok(keys) => break keys,
                Err(error) if began.elapsed() > WAIT_MAX => return Err(error),
                // Still loading, or still starting.
                Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        };
        self.require_keys(keys)
    }

    fn require_keys(&self, keys: u64) -> anyhow::Result<()> {
        let [low, high] = self.saved()?.keys;
        let (low, high) = (low.min(high), low.max(high));
        // What has run out since then is gone.
        if keys > high || (keys == 0 && low > 0) {
            let what = format!("Redis holds {keys} keys, where {low} to {high} were saved");
            return Err(Failure::new(Exit::VERIFICATION_FAILED, what).into());
        }
        Ok(())
    }
}
