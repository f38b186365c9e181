//! One HTTP client that signs what it sends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::clock;
use crate::credential::Credentials;
use crate::endpoint::Endpoint;
use crate::environment::Environment;
use crate::error::{Error, ErrorKind, Result};
use crate::region::Region;
use crate::request::{self, Body, Call, HostSigned};
use crate::signer::Signer;
use crate::transport::{ANSWER_BYTES_MAX, Answer, Transport};

/// What remains when a 401 is not the clock's fault.
const KEY_HINT: &str = "is the key uploaded for this user, is its fingerprint the one in the \
    console, is the token of this region and still good?";

/// How to connect.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// To be connected, TLS included. Default 10 s, as Oracle's SDKs.
    pub connect_timeout: Duration,
    /// For one attempt as a whole, from its start to the last byte of the answer. Default 60 s.
    pub request_timeout: Duration,
    /// A PEM file of certificate authorities, instead of the system's.
    pub ca_bundle: Option<PathBuf>,
    /// The `user-agent` header.
    pub user_agent: String,
    /// The variables to look at for a CA bundle and proxies. Default: this process's.
    pub environment: Environment,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            ca_bundle: None,
            user_agent: concat!("platform-agent/", env!("CARGO_PKG_VERSION")).to_owned(),
            environment: Environment::process(),
        }
    }
}

/// An HTTP client with credentials. A clone shares connections and credentials.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    credentials: Credentials,
    transport: Transport,
}

impl Client {
    /// Prepares a client; makes no request.
    ///
    /// # Errors
    /// Kind `Config` when the CA bundle cannot be read.
    pub fn new(credentials: Credentials, options: &ClientOptions) -> Result<Self> {
        let transport = Transport::new(options)?;
        Ok(Self {
            inner: Arc::new(Inner {
                credentials,
                transport,
            }),
        })
    }

    /// The region the credentials belong to: configured, or (instance principal) asked of the
    /// metadata service.
    ///
    /// # Errors
    /// When none is configured or it cannot be found out.
    pub async fn region(&self) -> Result<Region> {
        self.inner.credentials.region().await
    }

    /// The credentials, for what there is to know about them.
    pub fn credentials(&self) -> &Credentials {
        &self.inner.credentials
    }

    /// Has the credentials loaded, a first token included, if they are not yet.
    ///
    /// # Errors
    /// When they cannot be read or had.
    pub async fn load_credentials(&self) -> Result<()> {
        self.signer().await.map(|_| ())
    }

    /// Renews the credentials now: files are read again, a new token is asked for. Whether they
    /// differ from before. Requests do this by themselves when a service refuses the present
    /// ones.
    ///
    /// # Errors
    /// When they cannot be read or had; the old ones stay in use as long as they are good.
    pub async fn refresh_credentials(&self) -> Result<bool> {
        let used = self.signer().await?;
        let fresh = self
            .inner
            .credentials
            .refresh(&used, &self.inner.transport)
            .await?;
        Ok(!fresh.is_same_as(&used))
    }

    /// One unsigned GET of the endpoint's root; any answer will do.
    pub(crate) async fn reach(&self, endpoint: &Endpoint) -> Result<Option<SystemTime>> {
        let request = reqwest::Request::new(reqwest::Method::GET, endpoint.join("/")?);
        match self.inner.transport.send(request, ANSWER_BYTES_MAX).await {
            Ok(answer) => Ok(answer.date()),
            Err(error) if error.status().is_some() => Ok(error.date()),
            Err(error) => Err(error),
        }
    }

    async fn signer(&self) -> Result<Signer> {
        self.inner
            .credentials
            .signer(&self.inner.transport, SystemTime::now())
            .await
    }

    /// One signed POST of JSON, as [`Self::call`].
    pub(crate) async fn post(
        &self,
        endpoint: &Endpoint,
        target: &str,
        body: Body<'_>,
    ) -> Result<Answer> {
        self.call(endpoint, target, &Call::post(body)).await
    }

    /// One signed request; a second one only when the first was refused with 401 and other
    /// credentials could be had. `target` is the encoded path and query.
    pub(crate) async fn call(
        &self,
        endpoint: &Endpoint,
        target: &str,
        call: &Call<'_>,
    ) -> Result<Answer> {
        let signer = self.signer().await?;
        let error = match self.attempt(&signer, endpoint, target, call).await {
            Err(error) if error.kind() == ErrorKind::Unauthorized => error,
            result => return result,
        };
        match self
            .inner
            .credentials
            .refresh(&signer, &self.inner.transport)
            .await
        {
            Ok(fresh) if !fresh.is_same_as(&signer) => {
                let second = self.attempt(&fresh, endpoint, target, call).await;
                second.map_err(explain)
            }
            Ok(_) => Err(explain(error)),
            Err(renewal) => Err(error.with_hint(format!("renewing the credentials: {renewal}"))),
        }
    }

    /// The limit for one attempt, without a call's own.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.inner.transport.request_timeout()
    }

    async fn attempt(
        &self,
        signer: &Signer,
        endpoint: &Endpoint,
        target: &str,
        call: &Call<'_>,
    ) -> Result<Answer> {
        let url = endpoint.join(target)?;
        let transport = &self.inner.transport;
        request::send(transport, signer, url, call.clone(), HostSigned::Yes).await
    }
}

fn explain(error: Error) -> Error {
    clock::explain(error, SystemTime::now(), KEY_HINT)
}
