//! One HTTP client that signs what it sends.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, HeaderName, HeaderValue,
};
use reqwest::{Method, Request, Url};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::credential::Credentials;
use crate::endpoint::{Endpoint, host_header, request_target};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::region::Region;
use crate::signer::{BodyHeaders, Digest, SignedParts, Signer, encode_digest};
use crate::transport::{Answer, Transport};

const JSON: &str = "application/json";
const OPC_REQUEST_ID: HeaderName = HeaderName::from_static("opc-request-id");
const X_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-content-sha256");

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
    /// The variables to look at for a CA bundle. Default: this process's.
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

/// A body whose digest is signed.
pub(crate) struct Body<'a> {
    pub bytes: Bytes,
    pub sha256: &'a Digest,
    /// Headers that are sent and not signed, such as `content-encoding`.
    pub headers: &'a [(HeaderName, HeaderValue)],
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

    /// One signed attempt at a POST of JSON. `target` is the encoded path and query.
    pub(crate) async fn post(
        &self,
        endpoint: &Endpoint,
        target: &str,
        body: Body<'_>,
    ) -> Result<Answer> {
        let url = endpoint.join(target)?;
        let signer = self.inner.credentials.signer().await?;
        let request_id = request_id()?;
        let request = signed_post(&signer, url, SystemTime::now(), body, &request_id)?;
        let answer = self.inner.transport.send(request).await;
        answer.map_err(|error| error.with_request_id(&request_id))
    }
}

fn signed_post(
    signer: &Signer,
    url: Url,
    now: SystemTime,
    body: Body<'_>,
    request_id: &str,
) -> Result<Request> {
    let date = httpdate::fmt_http_date(now);
    let host = host_header(&url);
    let length = body.bytes.len();
    let authorization = signer.authorization(&SignedParts {
        method: "POST",
        target: request_target(&url),
        host: Some(&host),
        date: &date,
        body: Some(BodyHeaders {
            length: length as u64,
            content_type: JSON,
            sha256: body.sha256,
        }),
        extra: &[],
    })?;
    let mut authorization = header_value(&authorization)?;
    authorization.set_sensitive(true);
    let mut request = Request::new(Method::POST, url);
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static(JSON));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(DATE, header_value(&date)?);
    headers.insert(HOST, header_value(&host)?);
    headers.insert(X_CONTENT_SHA256, header_value(&encode_digest(body.sha256))?);
    headers.insert(OPC_REQUEST_ID, header_value(request_id)?);
    headers.insert(AUTHORIZATION, authorization);
    headers.extend(body.headers.iter().cloned());
    *request.body_mut() = Some(body.bytes.into());
    Ok(request)
}

fn header_value(text: &str) -> Result<HeaderValue> {
    // Never with the text: it may be a token.
    HeaderValue::from_str(text)
        .map_err(|_| Error::credentials("a character that no HTTP header may hold"))
}

/// 32 upper-case hex digits, as Oracle's Python SDK makes them.
fn request_id() -> Result<String> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::credentials("the system gives no random bytes"))?;
    Ok(bytes
        .iter()
        .fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02X}");
            text
        }))
}
