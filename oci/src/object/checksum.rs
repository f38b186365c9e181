//! Checksums as Object Storage uses them: to find damage, not to keep anyone out.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use crate::signer::{Digest, digest};

/// The MD5 of an object or a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Md5Sum([u8; 16]);

impl Md5Sum {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Md5::digest(bytes).into())
    }

    /// From base64, as headers and listings have it.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Md5Sum {
    /// In base64.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

/// The SHA-256 of a part. Processors have instructions for it, so it costs a third of MD5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sha256Sum(Digest);

impl Sha256Sum {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(digest(bytes))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256Sum {
    /// In base64, as headers have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

/// `opc-multipart-md5` of an object of these parts, in the order of their numbers: the MD5 of the
/// parts' MD5s, a dash, and how many there are (CommitMultipartUpload).
pub fn multipart_md5(parts: &[Md5Sum]) -> String {
    let mut whole = Md5::new();
    for part in parts {
        whole.update(part.0);
    }
    format!("{}-{}", STANDARD.encode(whole.finalize()), parts.len())
}

/// Whether a header names this checksum: some pages of the API leave the count out.
pub(super) fn is_multipart_md5(header: &str, parts: &[Md5Sum]) -> bool {
    let wanted = multipart_md5(parts);
    let digest = wanted.rsplit_once('-').map_or("", |(digest, _)| digest);
    header == wanted || header == digest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_checksum_of_parts_is_that_of_their_checksums() {
        let (a, b) = (Md5Sum::of(b"a"), Md5Sum::of(b"b"));
        // python3: base64.b64encode(md5(md5(b"a").digest() + md5(b"b").digest()).digest())
        assert_eq!(multipart_md5(&[a, b]), "luAkuiB0/nfo6WW6Q6cEvg==-2");
        assert!(is_multipart_md5("luAkuiB0/nfo6WW6Q6cEvg==", &[a, b]));
        assert!(!is_multipart_md5("luAkuiB0/nfo6WW6Q6cEvg==-3", &[a, b]));
        assert!(!is_multipart_md5(&multipart_md5(&[b, a]), &[a, b]));
    }

    #[test]
    fn base64_goes_both_ways() {
        let sum = Md5Sum::of(b"");
        assert_eq!(sum.to_string(), "1B2M2Y8AsgTpgAmY7PhCfg==");
        assert_eq!(Md5Sum::from_base64(&sum.to_string()), Some(sum));
        assert_eq!(Md5Sum::from_base64("1B2M"), None);
    }
}
