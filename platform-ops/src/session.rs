//! One run of the program: what every command is given.

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::OnceCell;

use crate::audit::Audit;
use crate::cli::Global;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::guard::Guard;
use crate::interrupt::Interrupt;
use crate::lock::{self, Lock};
use crate::output::Output;
use crate::redact::Redactor;
use crate::root::Root;

/// What every command is given.
#[derive(Debug)]
pub struct Session {
    /// Where everything is.
    pub root: Root,
    /// The global options.
    pub options: Global,
    /// Where to print.
    pub output: Output,
    /// Knows what must not be seen.
    pub redactor: Redactor,
    /// Who changed what.
    pub audit: Audit,
    /// Knows of signals.
    pub interrupt: Interrupt,
    /// Does what must be done should this run be killed.
    pub guard: Guard,
    engine: OnceCell<Engine>,
}

impl Session {
    /// Begins a run. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the root is no usable path, or signals cannot be caught.
    pub fn begin(options: Global) -> anyhow::Result<Self> {
        // Compose and the engine want absolute paths, and the folder may not be there yet.
        let path = std::path::absolute(&options.root)
            .with_context(|| format!("read --root {}", options.root.display()))?;
        let root = Root::new(path);
        let redactor = Redactor::default();
        let run = format!(
            "{}-{}",
            Timestamp::now().strftime("%Y%m%dT%H%M%SZ"),
            std::process::id()
        );
        Ok(Self {
            audit: Audit::new(root.audit(), run, redactor.clone()),
            output: Output::new(options.json, options.color),
            interrupt: Interrupt::listen().context("listen for signals")?,
            guard: Guard::new(root.path().to_owned()),
            engine: OnceCell::new(),
            root,
            options,
            redactor,
        })
    }

    /// The engine; connects at the first use.
    ///
    /// # Errors
    /// When no Docker engine answers.
    pub async fn engine(&self) -> anyhow::Result<&Engine> {
        self.engine.get_or_try_init(Engine::connect).await
    }

    /// Takes the lock for a command that changes something; with `--dry-run` there is no need.
    ///
    /// # Errors
    /// Not root, or another run holds it.
    pub fn lock(&self, command: &str) -> anyhow::Result<Option<Lock>> {
        if self.options.dry_run {
            return Ok(None);
        }
        self.require_root(command)?;
        let wait = Duration::from(self.options.lock_wait);
        lock::acquire(&self.root.lock(), command, wait).map(Some)
    }

    /// Refuses unless root runs this.
    ///
    /// # Errors
    /// When another user does.
    pub fn require_root(&self, command: &str) -> Result<(), Failure> {
        if rustix::process::geteuid().is_root() {
            return Ok(());
        }
        Err(Failure::refused(format!("{command} needs root"))
            .try_next(format!("sudo platform-ops {command}")))
    }
}
