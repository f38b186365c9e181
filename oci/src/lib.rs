//! Signed requests to Oracle Cloud: request signing, credentials, endpoints, PutLogs, Object
//! Storage.
//!
//! ```no_run
//! # async fn run() -> Result<(), oci::Error> {
//! use oci::{AuthKind, Client, ClientOptions, ConfigSource, ContentEncoding, Credentials};
//! use oci::{Endpoint, LogClient, Service};
//!
//! let credentials = Credentials::load(AuthKind::Auto, &ConfigSource::process())?;
//! let client = Client::new(credentials, &ClientOptions::default())?;
//! let endpoint = Endpoint::of(Service::LoggingIngestion, &client.region().await?)?;
//! let logs = LogClient::new(client, endpoint);
//! let body = bytes::Bytes::from_static(b"{}");
//! let sha256 = oci::digest(&body);
//! logs.put_logs(&"ocid1.log.x".parse()?, body, &sha256, ContentEncoding::Identity).await?;
//! # Ok(())
//! # }
//! ```

mod api_key;
mod buffer;
mod certificate;
mod client;
mod clock;
mod config;
mod core_dump;
mod credential;
mod dns;
mod endpoint;
mod environment;
mod error;
mod federation;
mod ini;
mod instance_principal;
mod key;
mod log_search;
mod logging;
mod metadata;
pub mod object;
mod pem;
mod permission;
mod proxy;
mod refresh;
mod region;
mod reload;
mod request;
mod resource_principal;
mod session_token;
mod signer;
mod token;
mod transport;
mod trust;

pub use api_key::ApiKey;
pub use buffer::Buffer;
pub use client::{Client, ClientOptions};
pub use config::ConfigSource;
pub use core_dump::forbid_core_dumps;
pub use credential::{AuthKind, Choice, Credentials};
pub use endpoint::{Endpoint, Service};
pub use environment::Environment;
pub use error::{Error, ErrorKind, Result};
pub use instance_principal::InstancePrincipal;
pub use key::PrivateKey;
pub use log_search::{LogQuery, LogSearch};
pub use logging::{Accepted, ContentEncoding, LogClient, LogId};
pub use region::{KnownBy, Region};
pub use resource_principal::ResourcePrincipal;
pub use session_token::SessionToken;
pub use signer::{BodyHeaders, Digest, SignedParts, Signer, digest, encode_digest};
pub use transport::http_client;
