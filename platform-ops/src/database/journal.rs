//! What a fresh install has done so far, so that the next run knows it if this one is killed.

use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::backup::create::file_name;
use crate::file::{self, Access};
use crate::root::Root;

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The new database is not whole: it is thrown away.
    Begun,
    /// Schema, owner and grants are there: what is left is the migrator.
    Built,
}

/// A fresh install that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The database.
    pub database: String,
    /// What the new one is called until it takes its place.
    pub fresh: String,
    /// What the old one is called from then on; None when there was none.
    pub kept: Option<String>,
    /// Extensions of the new one.
    pub extensions: Vec<String>,
    /// How far it came.
    pub phase: Phase,
}

fn folder(root: &Root) -> PathBuf {
    root.state().join("fresh-install")
}

fn path(root: &Root, database: &str) -> PathBuf {
    folder(root).join(format!("{}.json", file_name(database)))
}

impl Journal {
    /// Of a database, if a run was cut short.
    ///
    /// # Errors
    /// When it is there and unreadable.
    pub fn load(root: &Root, database: &str) -> anyhow::Result<Option<Self>> {
        let path = path(root, database);
        let failed = || format!("read {}", path.display());
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).with_context(failed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(failed),
        }
    }

    /// Of every run that was cut short.
    ///
    /// # Errors
    /// Names what is unreadable.
    pub fn all(root: &Root) -> anyhow::Result<Vec<Self>> {
        let folder = folder(root);
        let failed = || format!("read {}", folder.display());
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(failed),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.with_context(failed)?.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                let text = std::fs::read_to_string(&path).with_context(failed)?;
                all.push(serde_json::from_str(&text).with_context(failed)?);
            }
        }
        Ok(all)
    }

    /// Whether it is about the database of this name, too.
    pub fn names(&self, name: &str) -> bool {
        self.database == name || self.fresh == name || self.kept.as_deref() == Some(name)
    }

    /// What the operator should do.
    pub fn hint(&self) -> String {
        let database = &self.database;
        format!("platform-ops db undo {database}, or db fresh-install {database} to finish it")
    }

    /// Writes it down before what it says is done.
    ///
    /// # Errors
    /// Names the file; then nothing may be done.
    pub fn save(&self, root: &Root) -> anyhow::Result<()> {
        file::folder(&folder(root), Access::root(0o700))?;
        let text = serde_json::to_vec(self)?;
        file::replace(&path(root, &self.database), &text, Access::root(0o600))
    }

    /// It is over.
    ///
    /// # Errors
    /// Names the file.
    pub fn remove(&self, root: &Root) -> anyhow::Result<()> {
        let path = path(root, &self.database);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}
