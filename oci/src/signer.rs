//! Request signatures, `Signature version="1"`: draft-cavage-http-signatures-08 with RSA-SHA256.
//!
//! Source: Oracle's page "Request Signatures" (signingrequests.htm) and `signer.py` of the Python
//! SDK. Pure: the caller says what is sent and when.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::Result;
use crate::key::PrivateKey;

/// A SHA-256 digest of the bytes of a body.
pub type Digest = [u8; 32];

/// The SHA-256 of `body`, for `x-content-sha256`.
pub fn digest(body: &[u8]) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, body).as_ref());
    bytes
}

/// The signed headers that describe a body.
///
/// Absent for GET, HEAD and DELETE, and for Object Storage's PutObject and UploadPart, whose
/// bodies are not signed.
#[derive(Clone, Copy, Debug)]
pub struct BodyHeaders<'a> {
    /// `content-length`, in bytes.
    pub length: u64,
    /// `content-type`, exactly as sent.
    pub content_type: &'a str,
    /// The digest of the bytes on the wire, after any content encoding.
    pub sha256: &'a Digest,
}

/// What a signature covers.
#[derive(Clone, Copy, Debug)]
pub struct SignedParts<'a> {
    /// The method, in any case.
    pub method: &'a str,
    /// Path and query, byte for byte as on the request line.
    pub target: &'a str,
    /// The `host` header as sent: with `:port` when the URL names one. `None` leaves it out, as
    /// Oracle's SDKs do for the federation request.
    pub host: Option<&'a str>,
    /// The `date` header: an IMF-fixdate in GMT.
    pub date: &'a str,
    /// The body's headers, for the requests that sign them.
    pub body: Option<BodyHeaders<'a>>,
    /// Further headers to sign, names in lower case, such as `opc-obo-token`.
    pub extra: &'a [(&'a str, &'a str)],
}

impl SignedParts<'_> {
    /// The value of `headers=`: the names in the order in which [`Self::signing_string`] has them.
    pub fn header_names(&self) -> String {
        let mut names = String::from("date (request-target)");
        if self.host.is_some() {
            names.push_str(" host");
        }
        if self.body.is_some() {
            names.push_str(" content-length content-type x-content-sha256");
        }
        for (name, _) in self.extra {
            names.push(' ');
            names.push_str(name);
        }
        names
    }

    /// One line a header, `name: value`, no newline at the end.
    pub fn signing_string(&self) -> String {
        let mut text = String::with_capacity(256 + self.target.len());
        let method = self.method.to_ascii_lowercase();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "date: {}\n(request-target): {method} {}",
            self.date, self.target
        );
        if let Some(host) = self.host {
            let _ = write!(text, "\nhost: {host}");
        }
        if let Some(body) = &self.body {
            let sha256 = encode_digest(body.sha256);
            let _ = write!(text, "\ncontent-length: {}", body.length);
            let _ = write!(text, "\ncontent-type: {}", body.content_type);
            let _ = write!(text, "\nx-content-sha256: {sha256}");
        }
        for (name, value) in self.extra {
            let _ = write!(text, "\n{name}: {value}");
        }
        text
    }
}

/// `x-content-sha256`: the digest in base64.
pub fn encode_digest(sha256: &Digest) -> String {
    STANDARD.encode(sha256)
}

/// A key with the name by which Oracle Cloud knows it.
#[derive(Clone)]
pub struct Signer {
    key_id: Arc<str>,
    key: Arc<PrivateKey>,
}

impl Signer {
    /// `key_id` is `{tenancy}/{user}/{fingerprint}` or `ST${token}`: a token is a secret.
    pub fn new(key_id: impl Into<Arc<str>>, key: Arc<PrivateKey>) -> Self {
        Self {
            key_id: key_id.into(),
            key,
        }
    }

    /// The value of the `authorization` header.
    ///
    /// # Errors
    /// When the key cannot sign, which a key that loaded can.
    pub fn authorization(&self, parts: &SignedParts<'_>) -> Result<String> {
        let signature = STANDARD.encode(self.key.sign(parts.signing_string().as_bytes())?);
        Ok(format!(
            r#"Signature version="1",keyId="{}",algorithm="rsa-sha256",headers="{}",signature="{}""#,
            self.key_id,
            parts.header_names(),
            signature
        ))
    }

    /// Whether two signers sign with the same name, which for tokens means the same token.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.key_id == other.key_id
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}
