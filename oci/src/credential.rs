//! Who signs a request: the kinds of credentials that Oracle Cloud's tools accept.

use std::time::{Duration, SystemTime};

use crate::api_key::ApiKey;
use crate::config::{ConfigSource, Profile, SECURITY_TOKEN_FILE, USER, is_complete};
use crate::error::{Error, Result};
use crate::instance_principal::InstancePrincipal;
use crate::permission;
use crate::region::Region;
use crate::resource_principal::{self, ResourcePrincipal};
use crate::session_token::{self, SessionToken};
use crate::signer::Signer;
use crate::transport::Transport;

/// How to authenticate, as configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthKind {
    /// `auto`: what [`Credentials::choose`] finds.
    Auto,
    /// `api_key`: a user's key in `~/.oci/config`.
    ApiKey,
    /// `security_token`: `oci session authenticate`.
    SecurityToken,
    /// `instance_principal`: the compute instance itself.
    InstancePrincipal,
    /// `resource_principal`: what Oracle's managed services give to what they run.
    ResourcePrincipal,
}

const KINDS: [AuthKind; 5] = [
    AuthKind::Auto,
    AuthKind::ApiKey,
    AuthKind::SecurityToken,
    AuthKind::InstancePrincipal,
    AuthKind::ResourcePrincipal,
];

impl AuthKind {
    /// Whom a policy for these credentials names, as in `allow <this> to use log-content in …`.
    pub fn grantee(self) -> &'static str {
        match self {
            Self::ApiKey | Self::SecurityToken => "group <the user's group>",
            Self::InstancePrincipal => "dynamic-group <a group that matches this instance>",
            Self::ResourcePrincipal => "dynamic-group <a group that matches this resource>",
            Self::Auto => "<group or dynamic-group>",
        }
    }

    /// The name that configuration uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
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
        KINDS
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| {
                let names = KINDS.map(Self::name).join(", ");
                Error::config(format!("auth {name:?} is none of {names}"))
            })
    }
}

/// A session is renewed by a person, who needs a little time.
const EXPIRY_WARNING: Duration = Duration::from_secs(10 * 60);

/// The kind that `auto` stands for, and why, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Never [`AuthKind::Auto`].
    pub kind: AuthKind,
    /// Such as `profile DEFAULT of /root/.oci/config has a user`.
    pub reason: String,
}

/// Loaded credentials. `Debug` shows no secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum Credentials {
    /// A user's API key.
    ApiKey(ApiKey),
    /// A user's session.
    SessionToken(SessionToken),
    /// The compute instance.
    InstancePrincipal(Box<InstancePrincipal>),
    /// The resource that a managed service runs.
    ResourcePrincipal(ResourcePrincipal),
}

impl Credentials {
    /// Loads credentials of one kind. Reads files; makes no request.
    ///
    /// # Errors
    /// Kind `Config` or `Credentials`, naming file, profile and key.
    pub fn load(auth: AuthKind, source: &ConfigSource) -> Result<Self> {
        match auth {
            AuthKind::Auto => Self::load(Self::choose(source)?.kind, source),
            AuthKind::ApiKey => ApiKey::load(source).map(Self::ApiKey),
            AuthKind::SecurityToken => SessionToken::load(source).map(Self::SessionToken),
            AuthKind::InstancePrincipal => {
                let principal = InstancePrincipal::load(source)?;
                Ok(Self::InstancePrincipal(Box::new(principal)))
            }
            AuthKind::ResourcePrincipal => {
                ResourcePrincipal::load(source).map(Self::ResourcePrincipal)
            }
        }
    }

    /// What `auto` means here: `OCI_CLI_AUTH`; else the config file (or `OCI_CLI_*` in its place)
    /// if there is one; else the resource principal's variables; else the instance.
    ///
    /// # Errors
    /// When there is a config file and it cannot be read, or `OCI_CLI_AUTH` is unknown: neither
    /// is passed over in silence.
    pub fn choose(source: &ConfigSource) -> Result<Choice> {
        let environment = &source.environment;
        if let Some(name) = environment.get("OCI_CLI_AUTH") {
            let kind = name
                .parse()
                .map_err(|error: Error| error.while_doing("OCI_CLI_AUTH"))?;
            if kind != AuthKind::Auto {
                return Ok(Choice {
                    kind,
                    reason: format!("OCI_CLI_AUTH is {name}"),
                });
            }
        }
        let path = source.file_path();
        if path.is_file() || is_complete(environment) {
            return choose_by_profile(&Profile::load(source)?);
        }
        let no_file = format!("there is no {}", path.display());
        if environment.get(resource_principal::VERSION).is_some() {
            let reason = format!("{no_file}, and {} is set", resource_principal::VERSION);
            return Ok(Choice {
                kind: AuthKind::ResourcePrincipal,
                reason,
            });
        }
        let reason = format!("{no_file}, and {} is not set", resource_principal::VERSION);
        Ok(Choice {
            kind: AuthKind::InstancePrincipal,
            reason,
        })
    }

    /// The kind that `auth` stands for, and why: as [`Self::choose`] for `auto`.
    ///
    /// # Errors
    /// As [`Self::choose`].
    pub fn choice(auth: AuthKind, source: &ConfigSource) -> Result<Choice> {
        if auth == AuthKind::Auto {
            return Self::choose(source);
        }
        let reason = "it is configured".to_owned();
        Ok(Choice { kind: auth, reason })
    }

    /// Which kind these are.
    pub fn kind(&self) -> AuthKind {
        match self {
            Self::ApiKey(_) => AuthKind::ApiKey,
            Self::SessionToken(_) => AuthKind::SecurityToken,
            Self::InstancePrincipal(_) => AuthKind::InstancePrincipal,
            Self::ResourcePrincipal(_) => AuthKind::ResourcePrincipal,
        }
    }

    /// When the present token runs out; `None` for a key, and before the first token.
    pub fn expires(&self) -> Option<SystemTime> {
        match self {
            Self::ApiKey(_) => None,
            Self::SessionToken(session) => Some(session.expires()),
            Self::InstancePrincipal(principal) => principal.expires(),
            Self::ResourcePrincipal(principal) => Some(principal.expires()),
        }
    }

    /// What to say shortly before a session ends that nobody has renewed; `None` while there is
    /// time, and for what renews itself.
    pub fn expiry_warning(&self, now: SystemTime) -> Option<String> {
        let Self::SessionToken(session) = self else {
            return None;
        };
        let expires = session.expires();
        let left = expires.duration_since(now).unwrap_or_default();
        (left < EXPIRY_WARNING).then(|| {
            format!(
                "the security token ends on {}, in {} minutes: {}",
                httpdate::fmt_http_date(expires),
                left.as_secs().div_ceil(60),
                session_token::RENEW
            )
        })
    }

    /// Why the last renewal of a token failed, until one succeeds.
    pub fn renewal_error(&self) -> Option<Error> {
        match self {
            Self::InstancePrincipal(principal) => principal.renewal_error(),
            _ => None,
        }
    }

    /// What an operator should hear about the files of `source`: those that others can read.
    pub fn warnings(auth: AuthKind, source: &ConfigSource) -> Vec<String> {
        match Self::choice(auth, source).map(|choice| choice.kind) {
            Ok(AuthKind::ApiKey | AuthKind::SecurityToken) => permission::warnings(source),
            _ => Vec::new(),
        }
    }

    /// The present signer. `now` is the wall clock, which tokens in files are dated by.
    pub(crate) async fn signer(&self, transport: &Transport, now: SystemTime) -> Result<Signer> {
        match self {
            Self::ApiKey(key) => Ok(key.signer()),
            Self::SessionToken(session) => session.signer(now),
            Self::InstancePrincipal(principal) => principal.signer(transport).await,
            Self::ResourcePrincipal(principal) => principal.signer(now),
        }
    }

    /// The signer to use after a service refused `used`: the same again when there is no other.
    pub(crate) async fn refresh(&self, used: &Signer, transport: &Transport) -> Result<Signer> {
        match self {
            Self::ApiKey(key) => key.refresh(),
            Self::SessionToken(session) => session.refresh(),
            Self::InstancePrincipal(principal) => principal.refresh(used, transport).await,
            Self::ResourcePrincipal(principal) => principal.refresh(),
        }
    }

    pub(crate) async fn region(&self) -> Result<Region> {
        match self {
            Self::ApiKey(key) => key.region().cloned().ok_or_else(no_region),
            Self::SessionToken(session) => session.region().cloned().ok_or_else(no_region),
            Self::InstancePrincipal(principal) => principal.region().await,
            Self::ResourcePrincipal(principal) => Ok(principal.region().clone()),
        }
    }
}

fn choose_by_profile(profile: &Profile<'_>) -> Result<Choice> {
    let (kind, has) = match (profile.get(USER), profile.get(SECURITY_TOKEN_FILE)) {
        // As the Go SDK decides: a token counts only where no user is named.
        (None, Some(token)) => (AuthKind::SecurityToken, token.origin),
        (Some(user), _) => (AuthKind::ApiKey, user.origin),
        (None, None) => (AuthKind::ApiKey, profile.place()),
    };
    Ok(Choice {
        kind,
        reason: format!("there is {has}"),
    })
}

fn no_region() -> Error {
    Error::config("no region is configured")
        .with_hint("set region in the profile or OCI_CLI_REGION")
}
