//! Redis comes back in the order that its append-only file demands: where that is on, Redis ignores
//! an RDB beside it and starts empty.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
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
use crate::backup::redis::Redis;
use crate::backup::store::Store;
use crate::backup::throwaway::{Spec, Throwaway};
use crate::container::Container;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Action, Consent, Effect, Plan};
use crate::session::Session;

/// What Redis keeps in its folder.
const FILES: [&str; 2] = ["dump.rdb", "appendonlydir"];
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
    /// Stops Redis, sets its files aside, and starts it with those of the set.
    Replace {
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
            Self::Replace { kept, scene } => format!(
                "stop {}, move its files to {}, and start it with those of the set",
                scene.container.name,
                kept.display()
            ),
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Verify { .. } => Effect::Check,
            Self::Replace { .. } => Effect::Change,
        }
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Verify { scene } => {
                let progress = Progress::silent();
                scene.opener(&progress).check(scene.object()?).await
            }
            Self::Replace { kept, scene } => scene.replace(session, kept).await,
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
    let kept = scene.folder()?.join(format!("before_{stamp}"));
    let mut plan = Plan::new("restore redis");
    plan.require(Consent::Name(scene.container.name.clone()));
    plan.note(format!(
        "set {} holds {} keys; the {now} keys of now stay in {}",
        scene.set.id(),
        saved.keys[1],
        kept.display()
    ));
    plan.push(Step::Verify {
        scene: scene.clone(),
    });
    plan.push(Step::Replace { kept, scene });
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

    async fn replace(&self, session: &Session, kept: &Path) -> anyhow::Result<()> {
        let folder = self.folder()?;
        let appends = self.redis.appends().await?;
        let engine = session.engine().await?;
        let name = &self.container.name;
        // A stop that was asked for is not undone by a restart policy.
        engine.stop(name).await.context("stop Redis")?;
        let replaced = self.put_files(session, &folder, kept, appends).await;
        if replaced.is_err() {
            put_back(&folder, kept).context("put Redis's files back")?;
        }
        engine.start(name).await.context("start Redis")?;
        replaced?;
        self.compare().await
    }

    async fn put_files(
        &self,
        session: &Session,
        folder: &Path,
        kept: &Path,
        appends: bool,
    ) -> anyhow::Result<()> {
        let failed = || format!("set the files in {} aside", folder.display());
        std::fs::create_dir(kept).with_context(failed)?;
        for file in FILES {
            match std::fs::rename(folder.join(file), kept.join(file)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(failed);
                }
                _ => {}
            }
        }
        self.write(&folder.join(FILES[0])).await?;
        if appends {
            self.append(session, folder).await?;
        }
        Ok(())
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

    /// Has a Redis without append-only file load the RDB and write one.
    async fn append(&self, session: &Session, folder: &Path) -> anyhow::Result<()> {
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
        let spec = Spec {
            image: self.container.image_id.clone(),
            command: command.map(str::to_owned).to_vec(),
            binds: vec![format!("{}:/data", folder.display())],
            ..Spec::default()
        };
        let helper = Throwaway::start(docker, self.set.id(), spec).await?;
        let program = |command: &[&str]| Program::new(helper.id(), command.iter().copied());
        helper
            .ready(program(&["sh", "-c", "redis-cli -e ping | grep -qx PONG"]))
            .await?;
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
                break;
            }
            if began.elapsed() > WAIT_MAX || (done && says("aof_last_bgrewrite_status:err")) {
                bail!("Redis did not write its append-only file");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        // It ends under the client: what it says of that is no error.
        let end = program(&["redis-cli", "shutdown", "nosave"]);
        let _ = exec::run(docker, end, b"", 1 << 16).await;
        helper.remove().await
    }

    async fn compare(&self) -> anyhow::Result<()> {
        let [low, high] = self.saved()?.keys;
        let (low, high) = (low.min(high), low.max(high));
        let began = Instant::now();
        let keys = loop {
            match self.redis.keys().await {
                Ok(keys) => break keys,
                Err(error) if began.elapsed() > WAIT_MAX => return Err(error),
                // Still loading, or still starting.
                Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        };
        // What has run out since then is gone.
        if keys > high || (keys == 0 && low > 0) {
            let what = format!("Redis holds {keys} keys, where {low} to {high} were saved");
            return Err(Failure::new(Exit::VERIFICATION_FAILED, what).into());
        }
        Ok(())
    }
}

/// The files of before, where they were.
fn put_back(folder: &Path, kept: &Path) -> std::io::Result<()> {
    for file in FILES {
        let (from, to) = (kept.join(file), folder.join(file));
        if !from.exists() {
            continue;
        }
        if to.is_dir() {
            std::fs::remove_dir_all(&to)?;
        }
        std::fs::rename(from, to)?;
    }
    Ok(())
}
