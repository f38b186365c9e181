//! A user's API key, from `~/.oci/config` or the environment.

use crate::config::ConfigSource;
use crate::error::{Error, Result};
use crate::region::Region;
use crate::signer::Signer;

/// A user's API key.
#[derive(Debug)]
pub struct ApiKey {
    signer: Signer,
    region: Option<Region>,
}

impl ApiKey {
    pub(crate) fn load(_source: &ConfigSource) -> Result<Self> {
        Err(Error::config("API keys are not read yet"))
    }

    pub(crate) fn signer(&self) -> Signer {
        self.signer.clone()
    }

    pub(crate) fn region(&self) -> Result<Region> {
        self.region
            .clone()
            .ok_or_else(|| Error::config("no region is configured"))
    }
}
