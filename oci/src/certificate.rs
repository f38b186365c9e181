//! An instance's X.509 certificate: whose it is, and how federation names it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use x509_cert::der::{Decode as _, Encode as _};

use crate::error::{Error, Result};
use crate::key::colon_hex;
use crate::pem;

/// What a tenancy's OCID follows in a subject attribute, in the order of Oracle's SDKs.
const TENANCY_PREFIXES: [&str; 2] = ["opc-tenant:", "opc-identity:"];

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    der: Vec<u8>,
}

impl Certificate {
    /// All certificates of a PEM text, in order.
    ///
    /// # Errors
    /// When there is none, or one is malformed.
    pub(crate) fn all_from_pem(text: &str) -> Result<Vec<Self>> {
        let blocks = pem::parse(text).map_err(|error| Error::credentials(error.to_string()))?;
        let certificates: Vec<Self> = blocks
            .into_iter()
            .filter(|block| block.label.ends_with("CERTIFICATE"))
            .map(|block| Self {
                der: block.der.to_vec(),
            })
            .collect();
        match certificates.is_empty() {
            true => Err(Error::credentials("no certificate in the PEM text")),
            false => Ok(certificates),
        }
    }

    /// As the federation request holds it: PEM without its first and last line and its newlines.
    pub(crate) fn base64(&self) -> String {
        STANDARD.encode(&self.der)
    }

    /// SHA-256 of the DER in lower-case hex with colons: `fed-x509-sha256` in a key id.
    pub(crate) fn fingerprint(&self) -> String {
        colon_hex(digest(&SHA256, &self.der).as_ref())
    }

    /// The public key as X.509 SubjectPublicKeyInfo DER.
    ///
    /// # Errors
    /// When the certificate is malformed.
    pub(crate) fn public_key_der(&self) -> Result<Vec<u8>> {
        let certificate = self.parse()?;
        let info = certificate.tbs_certificate().subject_public_key_info();
        info.to_der().map_err(malformed)
    }

    /// The OCID of the tenancy, from the subject.
    ///
    /// # Errors
    /// When the certificate is malformed or names none.
    pub(crate) fn tenancy(&self) -> Result<String> {
        let certificate = self.parse()?;
        let subject = certificate.tbs_certificate().subject();
        let values = subject
            .iter()
            .filter_map(|attribute| std::str::from_utf8(attribute.value.value()).ok());
        let tenancy = values.filter_map(|value| {
            TENANCY_PREFIXES
                .iter()
                .find_map(|prefix| value.strip_prefix(prefix))
        });
        tenancy.map(str::to_owned).next().ok_or_else(|| {
            Error::credentials("the instance's certificate names no tenancy (opc-tenant)")
        })
    }

    fn parse(&self) -> Result<x509_cert::Certificate> {
        x509_cert::Certificate::from_der(&self.der).map_err(malformed)
    }
}

fn malformed(error: x509_cert::der::Error) -> Error {
    Error::credentials(format!("the instance's certificate is malformed: {error}"))
}
