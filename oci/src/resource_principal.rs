//! Resource principals 2.2: what Oracle's managed services put into the environment of what they
//! run (Functions, Container Instances, …).
//!
//! Source: `auth/signers/__init__.py` and `ephemeral_resource_principals_signer.py` of the Python
//! SDK. A value that is an absolute path names a file; anything else is the value itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use zeroize::Zeroizing;

use crate::config::{self, ConfigSource, unreadable};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::key::PrivateKey;
use crate::region::Region;
use crate::reload::{Reloading, TokenSigner};
use crate::signer::Signer;
use crate::token::Token;

pub(crate) const VERSION: &str = "OCI_RESOURCE_PRINCIPAL_VERSION";
const SUPPORTED: &str = "2.2";
const TOKEN: &str = "OCI_RESOURCE_PRINCIPAL_RPST";
const KEY: &str = "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM";
const PASSPHRASE: &str = "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE";
const REGION: &str = "OCI_RESOURCE_PRINCIPAL_REGION";
const RENEW: &str = "the service that runs this program writes the token: files are read again \
    when they change, a literal token is renewed only by a restart";

/// A resource's own identity. Files are read again when they change: tokens end after hours.
#[derive(Debug)]
pub struct ResourcePrincipal {
    files: Reloading,
    region: Region,
}

impl ResourcePrincipal {
    /// Loads what the environment of `source` names.
    ///
    /// # Errors
    /// Kind `Config` or `Credentials`, naming the variable.
    pub fn load(source: &ConfigSource) -> Result<Self> {
        let environment = &source.environment;
        match environment.get(VERSION).map(str::trim) {
            Some(SUPPORTED) => {}
            Some(other) => {
                let text = format!("{VERSION} is {other:?}; only {SUPPORTED} is supported");
                return Err(Error::config(text));
            }
            None => return Err(missing(VERSION)),
        }
        let region = match &source.region {
            Some(region) => Region::resolve(region, environment)?,
            None => {
                let region = environment.get(REGION).ok_or_else(|| missing(REGION))?;
                Region::resolve(region, environment).map_err(|error| error.while_doing(REGION))?
            }
        };
        let files = [TOKEN, KEY, PASSPHRASE]
            .iter()
            .filter_map(|name| environment.get(name));
        let paths = files.filter_map(as_path).collect();
        let environment = environment.clone();
        let files = Reloading::new(paths, RENEW, move || load_values(&environment))?;
        Ok(Self { files, region })
    }

    /// The region the resource runs in, or the one configured over it.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// When the present token runs out.
    pub fn expires(&self) -> SystemTime {
        self.files.expires()
    }

    pub(crate) fn signer(&self, now: SystemTime) -> Result<Signer> {
        self.files.signer(now)
    }

    pub(crate) fn refresh(&self) -> Result<Signer> {
        self.files.refresh()
    }
}

fn missing(variable: &str) -> Error {
    Error::config(format!(
        "{variable} is not set: this is no resource principal's environment"
    ))
}

fn as_path(value: &str) -> Option<PathBuf> {
    Path::new(value).is_absolute().then(|| PathBuf::from(value))
}

fn load_values(environment: &Environment) -> Result<TokenSigner> {
    let required = |name| value(environment, name)?.ok_or_else(|| missing(name));
    let token = Token::parse(&required(TOKEN)?).map_err(|error| error.while_doing(TOKEN))?;
    let passphrase = value(environment, PASSPHRASE)?;
    let passphrase = passphrase
        .as_ref()
        .map(|text| text.trim_end_matches(['\r', '\n']));
    let key = PrivateKey::from_pem(&required(KEY)?, passphrase)
        .map_err(|error| error.while_doing(KEY))?;
    let signer = Signer::new(token.key_id().as_str(), Arc::new(key));
    Ok(TokenSigner {
        signer,
        expires: token.expires(),
    })
}

fn value(environment: &Environment, name: &'static str) -> Result<Option<Zeroizing<String>>> {
    let Some(text) = environment.get(name) else {
        return Ok(None);
    };
    match as_path(text) {
        None => Ok(Some(Zeroizing::new(text.to_owned()))),
        Some(path) => config::read_secret(&path)
            .map(Some)
            .map_err(|error| unreadable(name, &path, &error)),
    }
}
