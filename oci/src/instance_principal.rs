//! Instance principals: a compute instance proves itself with the certificate that the metadata
//! service gives it, and gets a token for a key that never leaves this process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::time::Instant;

use crate::certificate::Certificate;
use crate::config::{ConfigSource, configured_region};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::federation::{Federation, Proof};
use crate::key::PrivateKey;
use crate::metadata::Metadata;
use crate::refresh::{Refresh, Step};
use crate::region::Region;
use crate::signer::Signer;
use crate::transport::Transport;

/// Renewing ahead of time delays one request; not for longer than this.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How often certificate and key are asked for until they match.
const PROOF_LOOKS: u32 = 3;
/// A token that lives for less is over before it is of use.
const LIFETIME_MIN: Duration = Duration::from_secs(5);

/// An instance's own identity. Makes its first request when it first signs, or is asked for its
/// region.
#[derive(Debug)]
pub struct InstancePrincipal {
    metadata: Metadata,
    federation: Option<Federation>,
    environment: Environment,
    configured: Option<Region>,
    started: Instant,
    state: Mutex<State>,
    /// Held by the one that renews.
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    refresh: Refresh,
    session: Option<Session>,
    /// Never changes: an instance does not move to another tenancy.
    tenancy: Option<String>,
    region: Option<Region>,
}

#[derive(Clone, Debug)]
struct Session {
    signer: Signer,
    expires: SystemTime,
}

impl InstancePrincipal {
    /// Prepares; makes no request.
    ///
    /// # Errors
    /// When a variable that names an endpoint or region is malformed.
    pub fn load(source: &ConfigSource) -> Result<Self> {
        let environment = &source.environment;
        Ok(Self {
            metadata: Metadata::new(environment)?,
            federation: Federation::named(environment)?,
            environment: environment.clone(),
            configured: configured_region(source, None)?,
            started: Instant::now(),
            state: Mutex::default(),
            renewing: tokio::sync::Mutex::default(),
        })
    }

    /// When the present token runs out, by the service's clock.
    pub fn expires(&self) -> Option<SystemTime> {
        self.state().session.as_ref().map(|session| session.expires)
    }

    /// How long the present token can still be used.
    pub fn remaining(&self) -> Option<Duration> {
        self.state().refresh.remaining(self.now())
    }

    /// Why the last renewal failed, until one succeeds. The old token may still be good.
    pub fn renewal_error(&self) -> Option<Error> {
        self.state().refresh.error().cloned()
    }

    /// The configured region, else the instance's own.
    pub(crate) async fn region(&self) -> Result<Region> {
        match &self.configured {
            Some(region) => Ok(region.clone()),
            None => self.own_region().await,
        }
    }

    async fn own_region(&self) -> Result<Region> {
        let known = self.state().region.clone();
        if let Some(region) = known {
            return Ok(region);
        }
        let region = self.metadata.region(&self.environment).await?;
        self.state().region = Some(region.clone());
        Ok(region)
    }

    /// The present signer, renewed when it is time to.
    ///
    /// # Errors
    /// When there is no token that is good, and none can be had.
    pub(crate) async fn signer(&self, transport: &Transport) -> Result<Signer> {
        if self.step() == Step::UseAndRenew
            && let Ok(_turn) = self.renewing.try_lock()
        {
            self.renew_ahead(transport).await;
        }
        match self.step() {
            Step::Use | Step::UseAndRenew => self.current(),
            Step::Fail => Err(self.last_error()),
            Step::Renew => {
                let _turn = self.renewing.lock().await;
                self.renew_if_needed(transport).await
            }
        }
    }

    /// Another signer than `used`, which a service refused; `used` itself when it is too young to
    /// have been refused for its age.
    pub(crate) async fn refresh(&self, used: &Signer, transport: &Transport) -> Result<Signer> {
        let _turn = self.renewing.lock().await;
        let now = self.now();
        {
            let mut state = self.state();
            let is_current = state
                .session
                .as_ref()
                .is_some_and(|session| session.signer.is_same_as(used));
            if is_current && !state.refresh.refused(now) {
                return Ok(used.clone());
            }
        }
        self.renew_if_needed(transport).await
    }

    /// Under the turn: somebody else may have renewed meanwhile.
    async fn renew_if_needed(&self, transport: &Transport) -> Result<Signer> {
        match self.step() {
            Step::Use | Step::UseAndRenew => return self.current(),
            Step::Fail => return Err(self.last_error()),
            Step::Renew => {}
        }
        let result = self.renew(transport).await;
        self.record(result);
        match self.step() {
            Step::Use | Step::UseAndRenew => self.current(),
            Step::Fail | Step::Renew => Err(self.last_error()),
        }
    }

    /// Under the turn: a failure stops nobody, for the present token is still good.
    async fn renew_ahead(&self, transport: &Transport) {
        if self.step() != Step::UseAndRenew {
            return;
        }
        let result = tokio::time::timeout(AHEAD_TIMEOUT, self.renew(transport)).await;
        self.record(result.unwrap_or_else(|_| {
            let text = format!("renewing the token took longer than {AHEAD_TIMEOUT:?}");
            Err(Error::credentials(text))
        }));
    }

    async fn renew(&self, transport: &Transport) -> Result<(Session, Duration)> {
        let proof = self.proof().await?;
        let federation = match &self.federation {
            Some(federation) => federation.clone(),
            None => Federation::of(&self.own_region().await?)?,
        };
        let key = tokio::task::spawn_blocking(PrivateKey::generate)
            .await
            .map_err(|_| Error::credentials("making a session key failed"))??;
        let grant = federation.token(transport, proof, &key).await?;
        let expires = grant.token.expires();
        // With no clock of the service at hand, this host's has to do.
        let date = grant.date.unwrap_or_else(SystemTime::now);
        let lifetime = grant.token.lifetime(Some(date)).unwrap_or_default();
        if lifetime < LIFETIME_MIN {
            let text = format!("federation gave a token that lives for {lifetime:?} only");
            return Err(Error::credentials(text));
        }
        let signer = Signer::new(grant.token.key_id().as_str(), Arc::new(key));
        Ok((Session { signer, expires }, lifetime))
    }

    /// Asked anew at each renewal: OCI rotates certificate and key several times a day. They come
    /// one by one, so a rotation can fall between them.
    async fn proof(&self) -> Result<Proof> {
        for _ in 0..PROOF_LOOKS {
            let proof = self.look().await?;
            if proof.certificate.public_key_der()? == proof.key.public_key_der() {
                return Ok(proof);
            }
        }
        let text = "the instance's certificate and key do not belong together";
        Err(Error::credentials(text).with_hint("the metadata service may be rotating them: wait"))
    }

    async fn look(&self) -> Result<Proof> {
        let certificates = self.metadata.get("/identity/cert.pem").await?;
        let key = self.metadata.get("/identity/key.pem").await?;
        let intermediates = self.metadata.get("/identity/intermediate.pem").await?;
        let certificate = Certificate::all_from_pem(&certificates)?.swap_remove(0);
        let tenancy = certificate.tenancy()?;
        self.check_tenancy(&tenancy)?;
        let key = PrivateKey::from_pem(&key, None)
            .map_err(|error| error.while_doing("the instance's key"))?;
        let intermediates = Certificate::all_from_pem(&intermediates)?;
        Ok(Proof {
            tenancy,
            certificate,
            key,
            intermediates,
        })
    }

    fn check_tenancy(&self, tenancy: &str) -> Result<()> {
        let mut state = self.state();
        let known = state.tenancy.get_or_insert_with(|| tenancy.to_owned());
        if known == tenancy {
            return Ok(());
        }
        Err(Error::credentials(format!(
            "the instance's certificate now names tenancy {tenancy} instead of {known}: refused",
        ))
        .with_hint("if that is right, restart this program"))
    }

    fn record(&self, result: Result<(Session, Duration)>) {
        let now = self.now();
        let mut state = self.state();
        match result {
            Ok((session, lifetime)) => {
                state.refresh.renewed(now, lifetime);
                state.session = Some(session);
            }
            Err(error) => state.refresh.failed(now, error, jitter()),
        }
    }

    fn current(&self) -> Result<Signer> {
        let session = self.state().session.clone();
        session
            .map(|session| session.signer)
            .ok_or_else(|| self.last_error())
    }

    fn last_error(&self) -> Error {
        let error = self.state().refresh.error().cloned();
        error.unwrap_or_else(|| Error::credentials("no token yet"))
    }

    fn step(&self) -> Step {
        self.state().refresh.step(self.now())
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every assignment under this lock is whole: a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From 0 to 1. Without randomness the longest wait is the polite one.
fn jitter() -> f64 {
    let mut byte = [u8::MAX];
    let _ = SystemRandom::new().fill(&mut byte);
    f64::from(byte[0]) / f64::from(u8::MAX)
}
