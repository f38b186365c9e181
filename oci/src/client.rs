//! One HTTP client that signs what it sends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::credential::Credentials;
use crate::error::Result;
use crate::region::Region;

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
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            ca_bundle: None,
            user_agent: concat!("platform-agent/", env!("CARGO_PKG_VERSION")).to_owned(),
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
}

impl Client {
    /// Prepares a client; makes no request.
    ///
    /// # Errors
    /// Kind `Config` when the CA bundle cannot be read.
    pub fn new(credentials: Credentials, options: &ClientOptions) -> Result<Self> {
        let _ = options;
        Ok(Self {
            inner: Arc::new(Inner { credentials }),
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
}
