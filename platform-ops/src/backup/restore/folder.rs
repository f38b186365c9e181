//! A folder of the host comes back: at its place where nothing is there, else beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::backup::key::Identities;
use crate::backup::listing::Set;
use crate::backup::manifest::{Folder, Object};
use crate::backup::open::Opener;
use crate::backup::progress::Progress;
use crate::backup::store::Store;
use crate::backup::tree;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Action, Effect, Plan};
use crate::session::Session;

/// What an archive that is not unpacked to its end is called.
const PARTIAL: &str = ".partial";
/// Files that are named; all are counted.
const NAMED_MAX: usize = 50;

/// What the steps share.
#[derive(Debug)]
pub struct Scene {
    /// Where the set is.
    pub store: Store,
    /// The set.
    pub set: Set,
    /// Keys to open it.
    pub identities: Identities,
}

/// A step of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Step {
    /// Compares every byte that will be used.
    Verify {
        /// The folder.
        folder: String,
        /// What is shared.
        #[serde(skip)]
        scene: Arc<Scene>,
    },
    /// Unpacks it, whole or not at all, and says in what it differs from what is there.
    Unpack {
        /// The folder.
        folder: String,
        /// Where it goes.
        to: PathBuf,
        /// What is shared.
        #[serde(skip)]
        scene: Arc<Scene>,
    },
}

impl Action for Step {
    fn summary(&self) -> String {
        match self {
            Self::Verify { folder, .. } => format!("compare every byte of {folder} in the set"),
            Self::Unpack { folder, to, .. } => format!("unpack {folder} to {}", to.display()),
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Verify { .. } => Effect::Check,
            Self::Unpack { .. } => Effect::Create,
        }
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Verify { folder, scene } => {
                let object = scene.object(scene.folder(folder)?)?;
                let progress = Progress::begin(session.output, folder, object.bytes, false);
                scene.opener(&progress).check(object).await
            }
            Self::Unpack { folder, to, scene } => {
                let folder = scene.folder(folder)?;
                scene.unpack(folder, to).await?;
                let there = Path::new(&folder.path);
                if there != to && there.is_dir() {
                    say_differences(session, there, to)?;
                }
                Ok(())
            }
        }
    }
}

fn say_differences(session: &Session, there: &Path, to: &Path) -> anyhow::Result<()> {
    let differences = tree::differences(there, to)?;
    let count = differences.len();
    for difference in differences.iter().take(NAMED_MAX) {
        session.output.note(&format!("    {difference}"));
    }
    let (there, to) = (there.display(), to.display());
    session.output.note(&match count {
        0 => format!("    {to} is what {there} is now"),
        count => format!("    {count} differences between {there} and {to}"),
    });
    Ok(())
}

/// The plan of restoring a folder, named by its path or the last part of it.
///
/// # Errors
/// When the set does not hold it, or something is at `to` already.
pub fn plan(scene: Arc<Scene>, name: &str, to: Option<&Path>) -> anyhow::Result<Plan<Step>> {
    let folder = scene.folder(name)?;
    let there = PathBuf::from(&folder.path);
    let stamp = Timestamp::now().strftime("%Y%m%d%H%M%S");
    let to = match to {
        Some(to) => std::path::absolute(to).context("read --to")?,
        None if there.exists() => PathBuf::from(format!("{}__restored_{stamp}", folder.path)),
        None => there,
    };
    if to.exists() {
        return Err(
            Failure::refused(format!("{} is there already", to.display()))
                .try_next("--to DIR with a name that is free")
                .into(),
        );
    }
    let mut plan = Plan::new("restore folder");
    plan.note(format!(
        "set {} of {}",
        scene.set.id(),
        scene.set.manifest.created
    ));
    let folder = folder.path.clone();
    plan.push(Step::Verify {
        folder: folder.clone(),
        scene: scene.clone(),
    });
    plan.push(Step::Unpack { folder, to, scene });
    Ok(plan)
}

impl Scene {
    fn opener<'a>(&'a self, progress: &'a Progress) -> Opener<'a> {
        Opener {
            store: &self.store,
            manifest: &self.set.manifest,
            identities: &self.identities,
            progress,
        }
    }

    fn folder(&self, name: &str) -> anyhow::Result<&Folder> {
        let all = &self.set.manifest.folders;
        let name = name.trim_end_matches('/');
        let is_last = |folder: &&Folder| {
            Path::new(&folder.path)
                .file_name()
                .is_some_and(|last| last == name)
        };
        let exact = all.iter().find(|folder| folder.path == name);
        exact.or_else(|| all.iter().find(is_last)).with_context(|| {
            let names: Vec<&str> = all.iter().map(|folder| folder.path.as_str()).collect();
            let what = format!("set {} holds no folder {name}", self.set.id());
            Failure::new(Exit::NOTHING_TO_RESTORE, what)
                .try_next(format!("one of: {}", names.join(", ")))
        })
    }

    fn object(&self, folder: &Folder) -> anyhow::Result<&Object> {
        self.set.manifest.object(&folder.object)
    }

    async fn unpack(&self, folder: &Folder, to: &Path) -> anyhow::Result<()> {
        let failed = || format!("unpack {}", to.display());
        let mut partial = to.as_os_str().to_owned();
        partial.push(PARTIAL);
        let partial = PathBuf::from(partial);
        let progress = Progress::silent();
        let opener = self.opener(&progress);
        let (sender, pieces) = mpsc::channel(4);
        let into = partial.clone();
        let unpacking = tokio::task::spawn_blocking(move || tree::unpack(pieces, &into));
        let opened = opener.open(self.object(folder)?, sender).await;
        let unpacked = unpacking.await.with_context(failed)?;
        let files = match (unpacked, opened) {
            // What the disk says tells more than that nobody took the bytes.
            (Err(error), _) | (Ok(_), Err(error)) => {
                let _ = std::fs::remove_dir_all(&partial);
                return Err(error).with_context(failed);
            }
            (Ok(files), Ok(())) => files,
        };
        if files != folder.files {
            let _ = std::fs::remove_dir_all(&partial);
            let what = format!("{files} files were unpacked instead of {}", folder.files);
            return Err(Failure::new(Exit::VERIFICATION_FAILED, what).into());
        }
        std::fs::rename(&partial, to).with_context(failed)
    }
}
