//! The layout under the root (`/srv`): one place that knows where everything is.

use std::path::{Path, PathBuf};

/// The root folder and the names below it.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    /// A root; it need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The root itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path below the root.
    pub fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.0.join(relative)
    }

    /// `config`: what describes the platform.
    pub fn config(&self) -> PathBuf {
        self.join("config")
    }

    /// `config/platform.env`: the single source of truth, mode 600.
    pub fn platform_env(&self) -> PathBuf {
        self.join("config/platform.env")
    }

    /// `config/waivers.toml`: findings of `doctor` that are accepted for a time.
    pub fn waivers(&self) -> PathBuf {
        self.join("config/waivers.toml")
    }

    /// `config/images.lock.json`: digests of the images, resolved by `pull`.
    pub fn images_lock(&self) -> PathBuf {
        self.join("config/images.lock.json")
    }

    /// `config/host`: masters of the files that have to be outside of the root.
    pub fn host_masters(&self) -> PathBuf {
        self.join("config/host")
    }

    /// `apps`: the stacks, one folder each.
    pub fn apps(&self) -> PathBuf {
        self.join("apps")
    }

    /// `apps/platform`: the compose project of the platform itself.
    pub fn stack(&self) -> PathBuf {
        self.join("apps/platform")
    }

    /// `data`: what the services keep.
    pub fn data(&self) -> PathBuf {
        self.join("data")
    }

    /// `backups`: local backups and spools.
    pub fn backups(&self) -> PathBuf {
        self.join("backups")
    }

    /// `data/platform-ops`: what this program keeps.
    pub fn state(&self) -> PathBuf {
        self.join("data/platform-ops")
    }

    /// The lock of everything that changes something.
    pub fn lock(&self) -> PathBuf {
        self.state().join("lock")
    }

    /// The audit log: JSON lines, append only.
    pub fn audit(&self) -> PathBuf {
        self.state().join("audit.jsonl")
    }

    /// What `up` left for those who may not read platform.env.
    pub fn names(&self) -> PathBuf {
        self.state().join("stack.json")
    }

    /// What `status` saw at its last look.
    pub fn last_status(&self) -> PathBuf {
        self.state().join("last-status.json")
    }
}
