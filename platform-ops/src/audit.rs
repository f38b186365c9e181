//! The audit log: who changed what and how it ended, as JSON lines without secrets.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use crate::redact::Redactor;

/// Appends to the log.
#[derive(Clone, Debug)]
pub struct Audit {
    path: PathBuf,
    run: String,
    redactor: Redactor,
}

#[derive(Serialize)]
struct Entry<'a> {
    at: Timestamp,
    run: &'a str,
    uid: u32,
    /// The user before sudo.
    user: Option<String>,
    event: &'a str,
    text: String,
}

impl Audit {
    /// A log at `path`; `run` names this run of the program.
    pub fn new(path: PathBuf, run: String, redactor: Redactor) -> Self {
        Self {
            path,
            run,
            redactor,
        }
    }

    /// Adds a line and makes it durable.
    ///
    /// # Errors
    /// When it cannot be written: then nothing may be changed either.
    pub fn record(&self, event: &str, text: &str) -> anyhow::Result<()> {
        let entry = Entry {
            at: Timestamp::now(),
            run: &self.run,
            uid: rustix::process::getuid().as_raw(),
            user: std::env::var("SUDO_USER").ok(),
            event,
            text: self.redactor.clean(text),
        };
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        let write = || -> std::io::Result<()> {
            if let Some(folder) = self.path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&self.path)?;
            // One write: lines of two programs do not mix.
            file.write_all(&line)?;
            file.sync_data()
        };
        write().with_context(|| format!("write the audit log {}", self.path.display()))
    }
}
