//! Federation: a certificate and a fresh key become a security token.
//!
//! Source: `x509_federation_client.go` of the Go SDK and `federation_client.py` of the Python SDK.
//! As they do, the `host` is not signed; as Go and Java do, the certificate is named by SHA-256.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::clock;
use crate::endpoint::{Endpoint, Service};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::key::PrivateKey;
use crate::region::Region;
use crate::request::{self, Body, Call, HostSigned};
use crate::signer::{Signer, digest};
use crate::token::Token;
use crate::transport::Transport;

/// The CLI's variable: the whole URL.
const URL_VARIABLE: &str = "OCI_CLI_FEDERATION_ENDPOINT";
/// The Go SDK's variable: scheme and host alone.
const BASE_VARIABLE: &str = "OCI_SDK_AUTH_CLIENT_REGION_URL";
const PATH: &str = "/v1/x509";
const ATTEMPTS_MAX: u32 = 3;
const WAIT_FIRST: Duration = Duration::from_millis(500);

/// What the metadata service gives an instance to prove itself with.
pub(crate) struct Proof {
    pub tenancy: String,
    pub certificate: Certificate,
    pub key: PrivateKey,
    pub intermediates: Vec<Certificate>,
}

/// A token with the time of the service's clock when it was given.
pub(crate) struct Grant {
    pub token: Token,
    pub date: Option<SystemTime>,
}

/// Where to ask.
#[derive(Clone, Debug)]
pub(crate) struct Federation {
    endpoint: Endpoint,
    target: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ask {
    certificate: String,
    public_key: String,
    intermediate_certificates: Vec<String>,
    fingerprint_algorithm: &'static str,
}

#[derive(Deserialize)]
struct Given {
    token: String,
}

impl Federation {
    /// The endpoint that the environment names, if it names one.
    ///
    /// # Errors
    /// When it is no URL.
    pub(crate) fn named(environment: &Environment) -> Result<Option<Self>> {
        if let Some(text) = environment.get(URL_VARIABLE) {
            let fail = |error: Error| error.while_doing(URL_VARIABLE);
            let (base, target) = split(text);
            let endpoint = Endpoint::parse(base).map_err(fail)?;
            return Ok(Some(Self {
                endpoint,
                target: target.to_owned(),
            }));
        }
        let Some(text) = environment.get(BASE_VARIABLE) else {
            return Ok(None);
        };
        let endpoint = Endpoint::parse(text).map_err(|error| error.while_doing(BASE_VARIABLE))?;
        Ok(Some(Self {
            endpoint,
            target: PATH.to_owned(),
        }))
    }

    /// The endpoint of `region`.
    ///
    /// # Errors
    /// When the region makes no host name.
    pub(crate) fn of(region: &Region) -> Result<Self> {
        let endpoint = Endpoint::of(Service::Auth, region)?;
        Ok(Self {
            endpoint,
            target: PATH.to_owned(),
        })
    }

    /// Asks for a token for `session`; tries a few times where that can help.
    ///
    /// # Errors
    /// As the service's answer, or when it holds no token.
    pub(crate) async fn token(
        &self,
        transport: &Transport,
        proof: Proof,
        session: &PrivateKey,
    ) -> Result<Grant> {
        let ask = Ask {
            certificate: proof.certificate.base64(),
            public_key: STANDARD.encode(session.public_key_der()),
            intermediate_certificates: proof
                .intermediates
                .iter()
                .map(Certificate::base64)
                .collect(),
            fingerprint_algorithm: "SHA256",
        };
        let body = serde_json::to_vec(&ask)
            .map_err(|error| Error::credentials(format!("federation request: {error}")))?;
        let fingerprint = proof.certificate.fingerprint();
        let key_id = format!("{}/fed-x509-sha256/{fingerprint}", proof.tenancy);
        let signer = Signer::new(key_id, Arc::new(proof.key));
        let body = Bytes::from(body);
        let mut wait = WAIT_FIRST;
        let mut attempt = 1;
        loop {
            match self.attempt(transport, &signer, &body).await {
                Err(error) if error.is_retryable() && attempt < ATTEMPTS_MAX => {}
                result => return result.map_err(explain),
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
            attempt += 1;
        }
    }

    async fn attempt(&self, transport: &Transport, signer: &Signer, body: &Bytes) -> Result<Grant> {
        let url = self.endpoint.join(&self.target)?;
        let sha256 = digest(body);
        let body = Body {
            bytes: body.clone(),
            sha256: &sha256,
            headers: &[],
        };
        let answer =
            request::send(transport, signer, url, Call::post(body), HostSigned::No).await?;
        let given: Given = serde_json::from_slice(&answer.body).map_err(|_| {
            // Without serde's words: they could quote the token.
            Error::credentials("the answer holds no token")
        })?;
        let text = Zeroizing::new(given.token);
        Ok(Grant {
            token: Token::parse(&text)?,
            date: answer.date(),
        })
    }
}

fn explain(error: Error) -> Error {
    let hint = "the auth service does not take the instance's certificate";
    clock::explain(error.while_doing("federation"), SystemTime::now(), hint)
}

/// `scheme://host:port` and the path after it, which is the usual one where there is none.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let host = text.find("://").map_or(0, |at| at + 3);
    match text[host..].find('/') {
        Some(at) if text.len() > host + at + 1 => text.split_at(host + at),
        _ => (text, PATH),
    }
}
