//! Images: tags as configured, digests as resolved by `pull`. Nobody invents a digest.

use std::collections::BTreeMap;
use std::io;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::service::Service;
use crate::session::Session;

/// `config/images.lock.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageLock {
    /// By service.
    pub images: BTreeMap<Service, LockedImage>,
}

/// What a tag meant when it was pulled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LockedImage {
    /// As configured: `redis:7.2`.
    pub tag: String,
    /// `sha256:…` in the registry; None for an image that was built here.
    pub digest: Option<String>,
    /// `sha256:…` on this engine.
    pub image_id: String,
    /// When.
    pub resolved_at: Timestamp,
}

impl ImageLock {
    /// Reads the lock; an empty one where there is none.
    ///
    /// # Errors
    /// When the file is there and makes no sense.
    pub fn load(session: &Session) -> anyhow::Result<Self> {
        let path = session.root.images_lock();
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// The pinned name of a service's image, if the lock still speaks of this tag.
    pub fn pinned(&self, service: Service, tag: &str) -> Option<String> {
        let locked = self
            .images
            .get(&service)
            .filter(|locked| locked.tag == tag)?;
        Some(format!("{tag}@{}", locked.digest.as_ref()?))
    }
}

/// The default tags, as compose.yaml has them.
pub fn default_tag(service: Service, compose_yaml: &str) -> Option<String> {
    let key = format!("${{{}:-", service.key("IMAGE"));
    let (_, rest) = compose_yaml.split_once(&key)?;
    let (tag, _) = rest.split_once('}')?;
    Some(tag.to_owned())
}
