//! What is under way, for the run that comes after a kill.

use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::App;
use super::target::{owner_key, user_key};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::file::{self, Access};
use crate::session::Session;

/// Like platform.env, it holds secrets.
const ACCESS: Access = Access::root(0o600);

/// How a server comes to accept the new secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The role's own password changes while PgBouncer's clients wait.
    SameRole,
    /// A second login role takes over; both are let in until the applications have changed.
    Alternate {
        /// The role whose rights both have, and which owns what they make.
        owner: String,
    },
    /// Redis accepts both passwords until the applications have changed.
    Redis,
    /// PgBouncer's console.
    Console,
}

/// Who logs in, and with what.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The secret.
    pub secret: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.user)
    }
}

/// A rotation under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Journal {
    /// How.
    pub way: Way,
    /// The key of the secret.
    pub key: String,
    /// The key at which its value stands, where the other refers to it.
    pub holder: String,
    /// What is being taken back.
    pub from: Login,
    /// What is to be in force.
    pub to: Login,
    /// Whether the old secret is being brought back.
    pub is_back: bool,
    /// Applications to be made anew.
    pub apps: Vec<App>,
}

impl Journal {
    fn path(session: &Session) -> PathBuf {
        session.root.config().join("rotation.json")
    }

    /// The rotation that was cut short, if there is one; teaches the redactor its secrets.
    ///
    /// # Errors
    /// When the file is there and makes no sense.
    pub fn load(session: &Session) -> anyhow::Result<Option<Self>> {
        let path = Self::path(session);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        // Without the parser's words: they may quote what they stumble over.
        let journal: Self = serde_json::from_str(&text)
            .map_err(|_| anyhow::anyhow!("{} makes no sense", path.display()))?;
        session.redactor.learn(&journal.from.secret);
        session.redactor.learn(&journal.to.secret);
        Ok(Some(journal))
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// When it cannot be written; nothing may be changed then.
    pub fn save(&self, session: &Session) -> anyhow::Result<()> {
        let text = serde_json::to_vec(self)?;
        file::replace(&Self::path(session), &text, ACCESS)
    }

    /// Forgets it, durably.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove(session: &Session) -> anyhow::Result<()> {
        let path = Self::path(session);
        let remove = || -> io::Result<()> {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            std::fs::File::open(session.root.config())?.sync_all()
        };
        remove().with_context(|| format!("remove {}", path.display()))
    }

    /// Refuses what would render files from platform.env while that and a server may differ.
    ///
    /// # Errors
    /// When a rotation was cut short.
    pub fn refuse_unfinished(session: &Session) -> anyhow::Result<()> {
        match Self::load(session)? {
            None => Ok(()),
            Some(journal) => Err(Failure::refused(format!(
                "a rotation of {} was cut short: platform.env and its server may differ",
                journal.key
            ))
            .try_next(format!("platform-ops secrets rotate {}", journal.key))
            .into()),
        }
    }

    /// The same with both sides exchanged.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self {
            from: self.to.clone(),
            to: self.from.clone(),
            is_back: !self.is_back,
            ..self.clone()
        }
    }

    /// platform.env with one side in force.
    ///
    /// # Errors
    /// When a value cannot stand in it.
    pub fn applied(&self, environment: &Environment, side: &Login) -> anyhow::Result<Environment> {
        let mut changed = environment.with(&self.holder, &side.secret)?;
        let Way::Alternate { owner } = &self.way else {
            return Ok(changed);
        };
        changed = changed.with(&user_key(&self.key), &side.user)?;
        let owner_key = owner_key(&self.key);
        if side.user != *owner {
            return changed.with(&owner_key, owner);
        }
        // Back to one role, which was the owner itself.
        match changed.get(&owner_key) {
            Some(_) => changed.with(&owner_key, ""),
            None => Ok(changed),
        }
    }

    /// Whether a name or key means this one.
    pub fn is_meant_by(&self, name: &str) -> bool {
        let is_owner = matches!(&self.way, Way::Alternate { owner } if owner == name);
        let names = [&self.key, &self.holder, &self.from.user, &self.to.user];
        is_owner || names.iter().any(|known| *known == name)
    }
}
