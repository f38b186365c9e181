//! The instance metadata service, version 2.
//!
//! Source: `auth/signers/instance_principals_security_token_signer.py` of the Python SDK. Every
//! request carries `Authorization: Bearer Oracle`, which keeps simple forgeries away and is no
//! secret.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Request};
use url::Url;
use zeroize::{Zeroize as _, Zeroizing};

use crate::client::ClientOptions;
use crate::environment::Environment;
use crate::error::{Error, ErrorKind, Result};
use crate::region::{KnownBy, Region, RegionInfo};
use crate::transport::{ANSWER_BYTES_MAX, Transport};

const BASE_URL_VARIABLE: &str = "OCI_METADATA_BASE_URL";
/// Link-local, IPv4 first; an IPv6-only subnet has the second alone.
const BASE_URLS: [&str; 2] = [
    "http://169.254.169.254/opc/v2",
    "http://[fd00:c1::a9fe:a9fe]/opc/v2",
];
/// Link-local answers in milliseconds; off OCI the operator waits for the error.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The service throttles, and answers 404 while an instance starts.
const ATTEMPTS_MAX: u32 = 3;
const ATTEMPTS_UNCONNECTED_MAX: u32 = 2;
const WAIT_FIRST: Duration = Duration::from_millis(500);

/// A client of the metadata service. Proxies are never used for it.
#[derive(Debug)]
pub(crate) struct Metadata {
    transport: Transport,
    bases: Vec<Url>,
    /// The base that answered last.
    preferred: AtomicUsize,
}

impl Metadata {
    pub(crate) fn new(environment: &Environment) -> Result<Self> {
        let options = ClientOptions {
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            environment: Environment::default(),
            ..ClientOptions::default()
        };
        let parse = |text: &str| {
            Url::parse(text.trim_end_matches('/'))
                .map_err(|error| Error::config(format!("{BASE_URL_VARIABLE}: {error}")))
        };
        let bases = match environment.get(BASE_URL_VARIABLE) {
            Some(text) => vec![parse(text)?],
            None => BASE_URLS.into_iter().map(parse).collect::<Result<_>>()?,
        };
        Ok(Self {
            transport: Transport::new(&options)?,
            bases,
            preferred: AtomicUsize::new(0),
        })
    }

    /// The text at `path`, such as `/identity/cert.pem`.
    ///
    /// # Errors
    /// After a few seconds at the most, saying what to do where there is no such service.
    pub(crate) async fn get(&self, path: &str) -> Result<Zeroizing<String>> {
        let mut wait = WAIT_FIRST;
        let mut attempt = 1;
        loop {
            let error = match self.attempt(path).await {
                Ok(body) => return text(body),
                Err(error) => error,
            };
            let unconnected = matches!(error.kind(), ErrorKind::Connect | ErrorKind::Timeout);
            let most = if unconnected {
                ATTEMPTS_UNCONNECTED_MAX
            } else {
                ATTEMPTS_MAX
            };
            if attempt >= most || !(error.is_retryable() || error.kind() == ErrorKind::NotFound) {
                return Err(explain(error, unconnected));
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
            attempt += 1;
        }
    }

    async fn attempt(&self, path: &str) -> Result<Bytes> {
        let preferred = self.preferred.load(Ordering::Relaxed);
        let mut last = None;
        for offset in 0..self.bases.len() {
            let index = (preferred + offset) % self.bases.len();
            let result = match request(&self.bases[index], path) {
                Ok(request) => self.transport.send(request, ANSWER_BYTES_MAX).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer.body);
                }
                // Only silence says that the other address may be the right one.
                Err(error) if error.status().is_some() => return Err(error),
                Err(error) => last = last.or(Some(error)),
            }
        }
        Err(last.unwrap_or_else(|| Error::config("no metadata address")))
    }

    /// The instance's region with its realm: `regionInfo`, else the older `region`.
    ///
    /// # Errors
    /// As [`Self::get`], or when the answer names no region.
    pub(crate) async fn region(&self, environment: &Environment) -> Result<Region> {
        match self.get("/instance/regionInfo").await {
            Ok(text) => {
                let info: RegionInfo = serde_json::from_str(&text).map_err(|error| {
                    Error::credentials(format!("the metadata service's regionInfo: {error}"))
                })?;
                info.into_region(KnownBy::Metadata)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Region::resolve(&self.get("/instance/region").await?, environment)
            }
            Err(error) => Err(error),
        }
    }
}

fn request(base: &Url, path: &str) -> Result<Request> {
    let url = Url::parse(&format!("{base}{path}"))
        .map_err(|error| Error::config(format!("{BASE_URL_VARIABLE}: {error}")))?;
    let mut request = Request::new(Method::GET, url);
    request
        .headers_mut()
        .insert(AUTHORIZATION, HeaderValue::from_static("Bearer Oracle"));
    Ok(request)
}

/// The body as text; what it was read into is wiped, because it may be a key.
fn text(body: Bytes) -> Result<Zeroizing<String>> {
    let text = std::str::from_utf8(&body).map(|text| Zeroizing::new(text.to_owned()));
    let text = text.map_err(|_| Error::credentials("the metadata service's answer is no text"))?;
    if let Ok(mut buffer) = body.try_into_mut() {
        buffer.zeroize();
    }
    Ok(text)
}

fn explain(error: Error, unconnected: bool) -> Error {
    let error = error.while_doing("the instance metadata service");
    if !unconnected {
        return error;
    }
    error.with_hint(
        "an instance principal exists only on an OCI compute instance with metadata version 2; \
         in a container 169.254.169.254 must be reachable (host network, or no firewall rule \
         against it); elsewhere choose another auth",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers every request with `status`, on connections of its own.
    async fn service(status: &'static str) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/opc/v2", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await.unwrap();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Url::parse(&url).unwrap()
    }

    async fn silent() -> Url {
        // Free again at once: nobody listens there.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Url::parse(&format!("http://{}/opc/v2", listener.local_addr().unwrap())).unwrap()
    }

    fn metadata(bases: Vec<Url>) -> Metadata {
        let metadata = Metadata::new(&Environment::default()).unwrap();
        Metadata { bases, ..metadata }
    }

    #[test]
    fn both_addresses_of_the_service_are_known() {
        let bases = metadata_bases(&Environment::default());
        assert_eq!(bases, ["169.254.169.254", "[fd00:c1::a9fe:a9fe]"]);
        let named = Environment::from_iter([(BASE_URL_VARIABLE, "http://[::1]:8099/opc/v2/")]);
        assert_eq!(metadata_bases(&named), ["[::1]"]);
    }

    fn metadata_bases(environment: &Environment) -> Vec<String> {
        let metadata = Metadata::new(environment).unwrap();
        let hosts = metadata
            .bases
            .iter()
            .map(|base| base.host_str().unwrap().to_owned());
        hosts.collect()
    }

    /// An IPv6-only subnet has the second address alone.
    #[tokio::test]
    async fn silence_leads_to_the_other_address_and_stays_there() {
        let metadata = metadata(vec![silent().await, service("200 OK").await]);
        assert_eq!(*metadata.get("/instance/region").await.unwrap(), "ok");
        assert_eq!(metadata.preferred.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_refusal_is_an_answer() {
        let metadata = metadata(vec![service("401 No").await, service("200 OK").await]);
        let error = metadata.get("/instance/region").await.unwrap_err();
        assert_eq!(error.status(), Some(401));
    }
}
