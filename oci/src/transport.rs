//! HTTP without credentials: connections, timeouts, and the answer as this crate reads it.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Request, Response, StatusCode};
use serde::Deserialize;

use crate::buffer::Buffer;
use crate::client::ClientOptions;
use crate::dns::SystemDns;
use crate::error::{Error, ErrorKind, Refusal, Result};
use crate::proxy;
use crate::trust;

/// Idle connections are dropped before a load balancer is likely to: a request that finds its
/// connection closed under it costs an attempt.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// More than any error or token; an answer that goes on is cut here.
pub(crate) const ANSWER_BYTES_MAX: usize = 256 * 1024;
const MESSAGE_CHARS_MAX: usize = 1000;

/// Sends requests as they are. A clone shares connections.
#[derive(Clone)]
pub(crate) struct Transport {
    http: reqwest::Client,
    has_roots: bool,
    request_timeout: Duration,
}

/// A successful answer (2xx).
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        text_header(&self.headers, name)
    }

    pub(crate) fn date(&self) -> Option<SystemTime> {
        date_header(&self.headers)
    }
}

/// A client for other services than Oracle's: the same roots, proxies and timeouts, no signature.
///
/// # Errors
/// When the host's roots or proxies cannot be read.
pub fn http_client(options: &ClientOptions) -> Result<reqwest::Client> {
    Transport::new(options).map(|transport| transport.http)
}

impl Transport {
    pub(crate) fn new(options: &ClientOptions) -> Result<Self> {
        let roots = trust::roots(options.ca_bundle.as_deref(), &options.environment)?;
        let has_roots = !roots.is_empty();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::config(format!("TLS: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            // A redirect would send a signature to a host it was not made for.
            .redirect(Policy::none())
            .connect_timeout(options.connect_timeout)
            .timeout(options.request_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .user_agent(&options.user_agent)
            .dns_resolver(Arc::new(SystemDns))
            .no_proxy();
        for proxy in proxy::proxies(&options.environment)? {
            builder = builder.proxy(proxy);
        }
        let fail = |error| Error::config(format!("HTTP client: {}", chain(&error)));
        let http = builder.build().map_err(fail)?;
        Ok(Self {
            http,
            has_roots,
            request_timeout: options.request_timeout,
        })
    }

    /// For one attempt as a whole, unless the request has a limit of its own.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// One attempt, of whose answer at most `bytes_max` bytes are read. Whatever is not a 2xx is an error.
    pub(crate) async fn send(&self, request: Request, bytes_max: usize) -> Result<Answer> {
        if request.url().scheme() == "https" && !self.has_roots {
            return Err(trust::missing());
        }
        let endpoint = format!("{} {}", request.method(), request.url());
        let timeout = request.timeout().copied().unwrap_or(self.request_timeout);
        let answer = match self.http.execute(request).await {
            Ok(response) => read(response, bytes_max, timeout).await,
            Err(error) => Err(classify(error, timeout)),
        };
        answer.map_err(|error| error.at_endpoint(endpoint))
    }
}

async fn read(mut response: Response, bytes_max: usize, timeout: Duration) -> Result<Answer> {
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    // The words of a refusal are never as short as a small range.
    let bytes_max = if status.is_success() {
        bytes_max
    } else {
        ANSWER_BYTES_MAX
    };
    let body = read_body(&mut response, bytes_max).await;
    if status.is_success() {
        let body = body.map_err(|error| classify(error, timeout))?;
        return Ok(Answer {
            status,
            headers,
            body,
        });
    }
    // The status counts, even when the connection broke before the words did.
    Err(refusal(status, &headers, &body.unwrap_or_default()))
}

fn classify(error: reqwest::Error, timeout: Duration) -> Error {
    let error = error.without_url();
    let kind = match () {
        () if error.is_connect() => ErrorKind::Connect,
        () if error.is_timeout() => ErrorKind::Timeout,
        () if error.is_builder() => ErrorKind::Config,
        () => ErrorKind::Io,
    };
    let message = match kind {
        ErrorKind::Timeout => format!("no answer within {timeout:?}"),
        _ => chain(&error),
    };
    Error::new(kind, message)
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport(…)")
    }
}

async fn read_body(response: &mut Response, bytes_max: usize) -> Result<Bytes, reqwest::Error> {
    let expected = response.content_length().unwrap_or(0);
    // What is said about the length is believed within the limit only.
    let capacity = usize::try_from(expected).map_or(bytes_max, |length| length.min(bytes_max));
    let mut body = Buffer::with_capacity(capacity);
    while let Some(chunk) = response.chunk().await? {
        let room = bytes_max - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if room <= chunk.len() {
            break;
        }
    }
    Ok(body.freeze())
}

/// The body that every OCI service documents for errors.
#[derive(Deserialize)]
struct ErrorBody {
    code: Option<String>,
    message: Option<String>,
}

fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let parsed: Option<ErrorBody> = serde_json::from_slice(body).ok();
    let (code, message) = parsed.map_or((None, None), |body| (body.code, body.message));
    let message = message.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(body);
        if text.trim().is_empty() {
            status
                .canonical_reason()
                .unwrap_or("no reason given")
                .to_owned()
        } else {
            text.trim().to_owned()
        }
    });
    Error::refused(Refusal {
        status: status.as_u16(),
        code: code.map(|code| printable(&code)),
        message: printable(&message),
        opc_request_id: text_header(headers, "opc-request-id"),
        retry_after: retry_after(headers),
        date: date_header(headers),
    })
}

/// A stranger's text for a terminal or log: bounded, and no control characters.
fn printable(text: &str) -> String {
    let clean = |char: char| if char.is_control() { ' ' } else { char };
    text.chars().take(MESSAGE_CHARS_MAX).map(clean).collect()
}

fn text_header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn date_header(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// Seconds, or a date: measured against the service's own clock, not ours.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    Some(
        until
            .duration_since(date_header(headers)?)
            .unwrap_or_default(),
    )
}

/// An error with all its causes: reqwest's own words stop before the one that helps.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}
