//! OCI Logging Ingestion: PutLogs.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, HeaderValue};

use crate::client::Client;
use crate::credential::{AuthKind, Credentials};
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::request::Body;
use crate::signer::Digest;

/// The version in the path of the Logging Ingestion API.
const API_VERSION: &str = "20200831";

/// The OCID of a custom log: 1 to 255 characters (Logging Ingestion API, PutLogs).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogId(String);

impl LogId {
    /// The OCID's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LogId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if text.is_empty() || text.len() > 255 || !text.bytes().all(plain) {
            return Err(Error::config(format!("log id {text:?} is not an OCID")));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a body's bytes are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentEncoding {
    /// As they are.
    #[default]
    Identity,
    /// gzip. Oracle documents it nowhere for PutLogs.
    Gzip,
}

/// The service has accepted a request's data, as a whole: PutLogs knows no partial success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The service's `opc-request-id`.
    pub request_id: Option<String>,
    /// The service's `Date`, to measure clock skew with.
    pub date: Option<SystemTime>,
}

/// Sends to OCI Logging. A clone shares the client.
#[derive(Clone, Debug)]
pub struct LogClient {
    client: Client,
    endpoint: Endpoint,
}

impl LogClient {
    /// Sends through `client` to `endpoint`.
    pub fn new(client: Client, endpoint: Endpoint) -> Self {
        Self { client, endpoint }
    }

    /// The client it sends through.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where it sends.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether somebody answers at the endpoint: one unsigned request for nothing, whose answer
    /// may be anything. The service's `Date`, when it gave one.
    ///
    /// # Errors
    /// Kinds `Connect`, `Timeout`, `Io` and `Config`: nobody answered.
    pub async fn reach(&self) -> Result<Option<SystemTime>> {
        self.client.reach(&self.endpoint).await
    }

    /// One attempt at PutLogs, signed afresh; no retry but the one that
    /// follows a 401 when renewed credentials could be had. `body` is a whole `PutLogsDetails` in
    /// JSON, sent without a copy; `sha256` is the digest of its bytes as they are.
    ///
    /// # Errors
    /// Every [`crate::ErrorKind`]; [`Error::is_retryable`] says whether to send it again.
    pub async fn put_logs(
        &self,
        log_id: &LogId,
        body: Bytes,
        sha256: &Digest,
        encoding: ContentEncoding,
    ) -> Result<Accepted> {
        let target = format!("/{API_VERSION}/logs/{log_id}/actions/push");
        let gzip = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        let headers = match encoding {
            ContentEncoding::Identity => &gzip[..0],
            ContentEncoding::Gzip => &gzip[..],
        };
        let body = Body {
            bytes: body,
            sha256,
            headers,
        };
        let answer = self
            .client
            .post(&self.endpoint, &target, body)
            .await
            .map_err(|error| with_hint(error, self.client.credentials().kind()))?;
        if answer.status != StatusCode::OK {
            // Another 2xx is not what the page calls accepted; a line must not hang on a guess.
            return Err(Error::new(
                ErrorKind::Unexpected,
                format!("status {} is not the documented 200", answer.status),
            )
            .at_endpoint(format!("POST {}{target}", self.endpoint)));
        }
        Ok(Accepted {
            request_id: answer.header("opc-request-id"),
            date: answer.date(),
        })
    }

    /// Whose requests these are.
    pub fn credentials(&self) -> &Credentials {
        self.client.credentials()
    }
}

fn with_hint(error: Error, auth: AuthKind) -> Error {
    let policy = format!(
        "allow {} to use log-content in compartment <the log's compartment>",
        auth.grantee()
    );
    match error.kind() {
        // OCI hides what it forbids: the two are told apart by looking.
        ErrorKind::NotFound => error.with_hint(format!(
            "check the log's OCID and region, and that a policy says: {policy}; a new policy takes \
             minutes to apply"
        )),
        ErrorKind::Forbidden => error.with_hint(format!("add a policy: {policy}")),
        _ => error,
    }
}
