//! Certificate authorities: which file they are read from.
//!
//! A file is read instead of asking a crate for "native" roots, because the agent runs in an image
//! that holds nothing but itself and one PEM file.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::environment::Environment;
use crate::error::{Error, Result};

/// Where Linux distributions keep the bundle: Debian and our image, Oracle Linux (two), Alpine.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The variables that name a bundle: Oracle's CLI's, and OpenSSL's.
const VARIABLES: [&str; 2] = ["OCI_CLI_CERT_BUNDLE", "SSL_CERT_FILE"];

/// The authorities of the first bundle there is: `explicit`, a variable's, the system's.
///
/// The store is empty when the system has none: plain http needs none, and the error belongs to
/// the first request that does ([`missing`]).
///
/// # Errors
/// When a bundle that was asked for cannot be read or holds no certificate.
pub(crate) fn roots(explicit: Option<&Path>, environment: &Environment) -> Result<RootCertStore> {
    let named = environment.first(&VARIABLES);
    let named = named.map(|(variable, path)| (variable, environment.expand(path)));
    let asked = explicit
        .map(|path| ("CA bundle", path.to_owned()))
        .or(named);
    if let Some((what, path)) = asked {
        return read(&path).map_err(|error| error.while_doing(what));
    }
    let system = SYSTEM_BUNDLES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file());
    system.map_or_else(|| Ok(RootCertStore::empty()), |path| read(&path))
}

/// The error of an https request with an empty store.
pub(crate) fn missing() -> Error {
    Error::config(format!(
        "no certificate authorities found: none of {}",
        SYSTEM_BUNDLES.join(", ")
    ))
    .with_hint("name a PEM bundle in the configuration or in SSL_CERT_FILE")
}

fn read(path: &Path) -> Result<RootCertStore> {
    let fail = |what: String| Error::config(format!("{}: {what}", path.display()));
    let pem = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    // A certificate that does not parse is passed over, as every system store's reader does.
    let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(|item| item.ok());
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(fail("holds no certificate in PEM".to_owned()));
    }
    Ok(store)
}
