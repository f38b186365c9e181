//! Who signs a request: the kinds of credentials that Oracle Cloud's tools accept.

use crate::api_key::ApiKey;
use crate::config::ConfigSource;
use crate::error::{Error, Result};
use crate::region::Region;
use crate::signer::Signer;

/// How to authenticate, as configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthKind {
    /// `api_key`: a user's key in `~/.oci/config`.
    ApiKey,
    /// `security_token`: `oci session authenticate`.
    SecurityToken,
    /// `instance_principal`: the compute instance itself.
    InstancePrincipal,
    /// `resource_principal`: what Oracle's managed services give to what they run.
    ResourcePrincipal,
}

impl AuthKind {
    /// The name that configuration uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::SecurityToken => "security_token",
            Self::InstancePrincipal => "instance_principal",
            Self::ResourcePrincipal => "resource_principal",
        }
    }
}

impl std::str::FromStr for AuthKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let kinds = [
            Self::ApiKey,
            Self::SecurityToken,
            Self::InstancePrincipal,
            Self::ResourcePrincipal,
        ];
        kinds
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| {
                let names = kinds.map(Self::name).join(", ");
                Error::config(format!("auth {name:?} is none of {names}"))
            })
    }
}

/// Loaded credentials. `Debug` shows no secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum Credentials {
    /// A user's API key.
    ApiKey(ApiKey),
}

impl Credentials {
    /// Loads credentials of one kind. Reads files; makes no request.
    ///
    /// # Errors
    /// Kind `Config` or `Credentials`, naming file, profile and key.
    pub fn load(auth: AuthKind, source: &ConfigSource) -> Result<Self> {
        match auth {
            AuthKind::ApiKey => ApiKey::load(source).map(Self::ApiKey),
            other => Err(Error::config(format!(
                "auth {} is not supported yet",
                other.name()
            ))),
        }
    }

    pub(crate) async fn signer(&self) -> Result<Signer> {
        match self {
            Self::ApiKey(key) => Ok(key.signer()),
        }
    }

    pub(crate) async fn region(&self) -> Result<Region> {
        match self {
            Self::ApiKey(key) => key.region().cloned().ok_or_else(no_region),
        }
    }
}

fn no_region() -> Error {
    Error::config("no region is configured: set region in the profile, or OCI_CLI_REGION")
}
