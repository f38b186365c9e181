//! A signed request: the headers that go with a signature, in one place.

use std::fmt::Write as _;
use std::time::SystemTime;

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
use crate::transport::{Answer, Transport};

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

/// Whether the `host` header is part of the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostSigned {
    Yes,
    /// Federation alone: Oracle's Python and Go SDKs leave it out there.
    No,
}

/// Sends one POST of JSON, signed now.
pub(crate) async fn post(
    transport: &Transport,
    signer: &Signer,
    url: Url,
    body: Body<'_>,
    host: HostSigned,
) -> Result<Answer> {
    let id = random_id()?;
    let request = signed_post(signer, url, SystemTime::now(), body, host, &id)?;
    transport
        .send(request)
        .await
        .map_err(|error| error.with_request_id(&id))
}

fn signed_post(
    signer: &Signer,
    url: Url,
    now: SystemTime,
    body: Body<'_>,
    host_signed: HostSigned,
    id: &str,
) -> Result<Request> {
    let date = httpdate::fmt_http_date(now);
    let host = host_header(&url);
    let length = body.bytes.len();
    let authorization = signer.authorization(&SignedParts {
        method: "POST",
        target: request_target(&url),
        host: (host_signed == HostSigned::Yes).then_some(host.as_str()),
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
    headers.insert(OPC_REQUEST_ID, header_value(id)?);
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
