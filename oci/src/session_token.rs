//! Session tokens: what `oci session authenticate` leaves in `~/.oci/sessions`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::api_key::load_key;
use crate::config::{self, ConfigSource, KEY_FILE, Profile, SECURITY_TOKEN_FILE, unreadable};
use crate::error::Result;
use crate::region::Region;
use crate::reload::{Reloading, TokenSigner};
use crate::signer::Signer;
use crate::token::Token;

pub(crate) const RENEW: &str = "renew it with: oci session refresh, or: oci session authenticate";

/// A user's session: a token of at most an hour, and the key it is for. Both files are read again
/// when they change, so that `oci session refresh` is all it takes to go on.
#[derive(Debug)]
pub struct SessionToken {
    files: Reloading,
    region: Option<Region>,
}

impl SessionToken {
    /// Loads the session of the profile that `source` names.
    ///
    /// # Errors
    /// Kind `Config` or `Credentials`, naming file, profile and key.
    pub fn load(source: &ConfigSource) -> Result<Self> {
        let profile = Profile::load(source)?;
        let paths = session_paths(&profile)?;
        let region = profile.region()?;
        let source = source.clone();
        let files = Reloading::new(paths, RENEW, move || load_files(&source))?;
        Ok(Self { files, region })
    }

    /// The configured region, when there is one.
    pub fn region(&self) -> Option<&Region> {
        self.region.as_ref()
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

/// The files that make up a session, the config file among them: it names the others.
fn session_paths(profile: &Profile<'_>) -> Result<Vec<PathBuf>> {
    let expand = |text: &str| profile.environment().expand(text);
    let mut paths = vec![expand(&profile.require(SECURITY_TOKEN_FILE)?.value)];
    paths.extend(profile.get(KEY_FILE).map(|setting| expand(&setting.value)));
    paths.push(profile.path().to_owned());
    Ok(paths)
}

fn load_files(source: &ConfigSource) -> Result<TokenSigner> {
    let profile = Profile::load(source)?;
    let setting = profile.require(SECURITY_TOKEN_FILE)?;
    let path = profile.environment().expand(&setting.value);
    let text = config::read_secret(&path).map_err(|error| {
        unreadable(
            &format!("security token ({})", setting.origin),
            &path,
            &error,
        )
        .with_hint(RENEW)
    })?;
    let token = Token::parse(&text).map_err(|error| error.while_doing(path.display()))?;
    let key = load_key(&profile)?;
    let signer = Signer::new(token.key_id().as_str(), Arc::new(key));
    Ok(TokenSigner {
        signer,
        expires: token.expires(),
    })
}
