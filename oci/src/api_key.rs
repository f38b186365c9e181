//! A user's API key, from `~/.oci/config` or the environment.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{
    self, ConfigSource, FINGERPRINT, Key, Profile, SECURITY_TOKEN_FILE, Setting, TENANCY, USER,
};
use crate::error::{Error, Result};
use crate::key::PrivateKey;
use crate::region::Region;
use crate::signer::Signer;

/// A user's API key.
#[derive(Debug)]
pub struct ApiKey {
    source: ConfigSource,
    region: Option<Region>,
    /// Replaced as a whole when the files are read again.
    loaded: Mutex<Arc<Loaded>>,
}

#[derive(Debug)]
struct Loaded {
    tenancy: String,
    user: String,
    fingerprint: String,
    signer: Signer,
}

impl ApiKey {
    /// Loads the key that `source` names, and compares it with the fingerprint beside it.
    ///
    /// # Errors
    /// Kind `Config` or `Credentials`, naming file, profile and key.
    pub fn load(source: &ConfigSource) -> Result<Self> {
        let profile = Profile::load(source)?;
        let loaded = Mutex::new(Arc::new(Loaded::from_profile(&profile)?));
        let region = profile.region()?;
        Ok(Self {
            source: source.clone(),
            region,
            loaded,
        })
    }

    /// The configured region, when there is one.
    pub fn region(&self) -> Option<&Region> {
        self.region.as_ref()
    }

    /// The tenancy's OCID.
    pub fn tenancy(&self) -> String {
        self.loaded().tenancy.clone()
    }

    /// The user's OCID.
    pub fn user(&self) -> String {
        self.loaded().user.clone()
    }

    /// The key's fingerprint: configured, and equal to the one computed from the key.
    pub fn fingerprint(&self) -> String {
        self.loaded().fingerprint.clone()
    }

    pub(crate) fn signer(&self) -> Signer {
        self.loaded().signer.clone()
    }

    /// Reads the files again: a refused key may have been replaced there.
    pub(crate) fn refresh(&self) -> Result<Signer> {
        let loaded = Arc::new(Loaded::from_profile(&Profile::load(&self.source)?)?);
        let signer = loaded.signer.clone();
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(signer)
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Loaded {
    fn from_profile(profile: &Profile<'_>) -> Result<Self> {
        let user = require_ocid(profile, USER).map_err(|error| hint_session(profile, error))?;
        let tenancy = require_ocid(profile, TENANCY)?;
        let fingerprint = profile.require(FINGERPRINT)?;
        if !config::is_fingerprint(&fingerprint.value) {
            return Err(Error::config(format!(
                "{} is not sixteen lower-case hex bytes with colons",
                fingerprint.origin
            )));
        }
        let key = load_key(profile)?;
        compare(&fingerprint, &key)?;
        let fingerprint = fingerprint.value.to_string();
        let signer = Signer::new(format!("{tenancy}/{user}/{fingerprint}"), Arc::new(key));
        Ok(Self {
            tenancy,
            user,
            fingerprint,
            signer,
        })
    }
}

/// Reads the private key of `profile`, opening it with its passphrase when it has one.
pub(crate) fn load_key(profile: &Profile<'_>) -> Result<PrivateKey> {
    let text = profile.key_text()?;
    let passphrase = profile.passphrase();
    let passphrase = passphrase.as_ref().map(|setting| setting.value.as_str());
    PrivateKey::from_pem(&text.value, passphrase).map_err(|error| error.while_doing(text.origin))
}

fn require_ocid(profile: &Profile<'_>, key: Key) -> Result<String> {
    let setting = profile.require(key)?;
    if !config::is_ocid(&setting.value) {
        return Err(Error::config(format!("{} is not an OCID", setting.origin)));
    }
    Ok(setting.value.to_string())
}

fn hint_session(profile: &Profile<'_>, error: Error) -> Error {
    match profile.get(SECURITY_TOKEN_FILE) {
        Some(token) => error.with_hint(format!(
            "there is a {}: if that is what you mean, use auth security_token",
            token.origin
        )),
        None => error,
    }
}

fn compare(fingerprint: &Setting, key: &PrivateKey) -> Result<()> {
    let actual = key.fingerprint();
    if *fingerprint.value == actual {
        return Ok(());
    }
    Err(Error::credentials(format!(
        "{} is {}, but the private key has {actual}: they do not belong together",
        fingerprint.origin, *fingerprint.value,
    )))
}
