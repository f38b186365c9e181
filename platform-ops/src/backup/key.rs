//! age keys: who can open a set.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use age::x25519;
use anyhow::{Context as _, anyhow};

use crate::failure::Failure;

/// Public keys that a set is encrypted to.
#[derive(Clone, Debug, Default)]
pub struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// Reads `age1…` texts.
    ///
    /// # Errors
    /// Names what is no public key.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Self> {
        let parse = |text: &str| {
            text.trim().parse().map_err(|error: &str| {
                // A private key in its place must not be repeated.
                let shown = if text.starts_with("age1") {
                    text
                } else {
                    "a text"
                };
                anyhow!(Failure::usage(format!(
                    "{shown} is no age recipient: {error}"
                )))
            })
        };
        texts
            .into_iter()
            .map(parse)
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As text.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// The same and one more.
    #[must_use]
    pub fn with(mut self, identity: &Identity) -> Self {
        self.0.push(identity.recipient());
        self
    }

    /// For the encryptor.
    pub(crate) fn as_dyn(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0
            .iter()
            .map(|recipient| recipient as &dyn age::Recipient)
    }
}

/// A private key that lives in memory: of one run.
#[derive(Clone)]
pub struct Identity(x25519::Identity);

impl Identity {
    /// A new one.
    pub fn generate() -> Self {
        Self(x25519::Identity::generate())
    }

    /// Its public half.
    pub fn recipient(&self) -> x25519::Recipient {
        self.0.to_public()
    }
}

/// Private keys to open sets with. `Debug` shows none.
#[derive(Clone, Default)]
pub struct Identities(Vec<std::sync::Arc<dyn age::Identity + Send + Sync>>);

impl Identities {
    /// The key of a run.
    pub fn of_run(identity: &Identity) -> Self {
        Self(vec![std::sync::Arc::new(identity.0.clone())])
    }

    /// Those in a file as `age-keygen` writes it.
    ///
    /// # Errors
    /// When it cannot be read or holds none.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let failed = || format!("read the identity file {}", path.display());
        let file = File::open(path).with_context(failed)?;
        let file = age::IdentityFile::from_buffer(BufReader::new(file)).with_context(failed)?;
        let identities = file
            .into_identities()
            .map_err(|error| anyhow!("{}: {error}", failed()))?;
        Ok(Self(
            identities.into_iter().map(std::sync::Arc::from).collect(),
        ))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For the decryptor.
    pub(crate) fn as_dyn(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0
            .iter()
            .map(|identity| &**identity as &dyn age::Identity)
    }
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}
