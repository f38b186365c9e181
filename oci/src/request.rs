//! A signed request: the headers that go with a signature, in one place.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, HeaderName, HeaderValue,
};
use reqwest::{Method, Request};
use ring::rand::{SecureRandom as _, SystemRandom};
use url::Url;

use crate::endpoint::{host_header, request_target};
use crate::error::{Error, Result};
use crate::signer::{BodyHeaders, Digest, SignedParts, Signer, encode_digest};
use crate::transport::{ANSWER_BYTES_MAX, Answer, Transport};

const JSON: &str = "application/json";
const OPC_REQUEST_ID: HeaderName = HeaderName::from_static("opc-request-id");
const X_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-content-sha256");

/// A body whose digest is signed. A clone shares the bytes.
#[derive(Clone)]
pub(crate) struct Body<'a> {
    pub bytes: Bytes,
    pub sha256: &'a Digest,
    /// Headers that are sent and not signed, such as `content-encoding`.
    pub headers: &'a [(HeaderName, HeaderValue)],
}

/// What a request carries, and whether the signature covers it.
#[derive(Clone)]
pub(crate) enum Payload<'a> {
    /// Nothing: GET, HEAD, DELETE.
    None,
    /// JSON, with its digest signed.
    Json { bytes: Bytes, sha256: &'a Digest },
    /// Object Storage's PutObject and UploadPart: sent, and not signed (signingrequests.htm,
    /// "Special Instructions for Object Storage PUT").
    Unsigned { bytes: Bytes, content_type: &'a str },
}

/// A request, all but its URL and the time of its signature. A clone shares the bytes.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    pub method: Method,
    pub payload: Payload<'a>,
    /// Headers that are sent and not signed.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// For one attempt as a whole, where the client's own limit does not fit.
    pub timeout: Option<Duration>,
    /// A longer answer is cut here.
    pub answer_bytes_max: usize,
}

impl<'a> Call<'a> {
    /// Without payload, headers and a limit of its own.
    pub(crate) fn new(method: Method) -> Self {
        Self {
            method,
            payload: Payload::None,
            headers: &[],
            timeout: None,
            answer_bytes_max: ANSWER_BYTES_MAX,
        }
    }

    /// A POST of JSON.
    pub(crate) fn post(body: Body<'a>) -> Self {
        Self {
            payload: Payload::Json {
                bytes: body.bytes,
                sha256: body.sha256,
            },
            headers: body.headers,
            ..Self::new(Method::POST)
        }
    }
}

/// Whether the `host` header is part of the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostSigned {
    Yes,
    /// Federation alone: Oracle's Python and Go SDKs leave it out there.
    No,
}

/// Sends one request, signed now.
pub(crate) async fn send(
    transport: &Transport,
    signer: &Signer,
    url: Url,
    call: Call<'_>,
    host: HostSigned,
) -> Result<Answer> {
    let id = random_id()?;
    let answer_bytes_max = call.answer_bytes_max;
    let request = signed(signer, url, SystemTime::now(), call, host, &id)?;
    transport
        .send(request, answer_bytes_max)
        .await
        .map_err(|error| error.with_request_id(&id))
}

fn signed(
    signer: &Signer,
    url: Url,
    now: SystemTime,
    call: Call<'_>,
    host_signed: HostSigned,
    id: &str,
) -> Result<Request> {
    let date = httpdate::fmt_http_date(now);
    let host = host_header(&url);
    let body = match &call.payload {
        Payload::Json { bytes, sha256 } => Some(BodyHeaders {
            length: bytes.len() as u64,
            content_type: JSON,
            sha256,
        }),
        Payload::None | Payload::Unsigned { .. } => None,
    };
    let authorization = signer.authorization(&SignedParts {
        method: call.method.as_str(),
        target: request_target(&url),
        host: (host_signed == HostSigned::Yes).then_some(host.as_str()),
        date: &date,
        body,
        extra: &[],
    })?;
    let mut authorization = header_value(&authorization)?;
    authorization.set_sensitive(true);
    let mut request = Request::new(call.method, url);
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static(JSON));
    headers.insert(DATE, header_value(&date)?);
    headers.insert(HOST, header_value(&host)?);
    headers.insert(OPC_REQUEST_ID, header_value(id)?);
    headers.insert(AUTHORIZATION, authorization);
    headers.extend(call.headers.iter().cloned());
    *request.timeout_mut() = call.timeout;
    attach(&mut request, call.payload)?;
    Ok(request)
}

fn attach(request: &mut Request, payload: Payload<'_>) -> Result<()> {
    let headers = request.headers_mut();
    let (bytes, content_type) = match payload {
        Payload::None => {
            headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
            return Ok(());
        }
        Payload::Json { bytes, sha256 } => {
            headers.insert(X_CONTENT_SHA256, header_value(&encode_digest(sha256))?);
            (bytes, JSON)
        }
        Payload::Unsigned {
            bytes,
            content_type,
        } => (bytes, content_type),
    };
    headers.insert(CONTENT_TYPE, header_value(content_type)?);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    *request.body_mut() = Some(bytes.into());
    Ok(())
}

fn header_value(text: &str) -> Result<HeaderValue> {
    // Never with the text: it may be a token.
    HeaderValue::from_str(text)
        .map_err(|_| Error::credentials("a character that no HTTP header may hold"))
}

/// 32 upper-case hex digits, as Oracle's Python SDK makes an `opc-request-id`.
fn random_id() -> Result<String> {
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
