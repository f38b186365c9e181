//! Names of buckets and objects, and how a path holds them.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::error::{Error, Result};

/// All but RFC 3986's unreserved characters, as Oracle's SDKs encode a name: `/` as well.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const OBJECT_BYTES_MAX: usize = 1024;
const BUCKET_BYTES_MAX: usize = 256;

/// `text` as one segment of a path or one value of a query.
pub(super) fn encode(text: &str) -> impl fmt::Display + '_ {
    percent_encode(text.as_bytes(), ENCODED)
}

/// The name of an object: 1 to 1024 bytes without CR, LF, NUL, `#` and `?` (Object Storage API).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // `.` and `..` as a whole are taken out of the path by HTTP clients.
        let reserved = text.contains(['\r', '\n', '\0', '#', '?']) || matches!(text, "." | "..");
        if text.is_empty() || text.len() > OBJECT_BYTES_MAX || reserved {
            return Err(Error::config(format!("{text:?} is no name of an object")));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a bucket: 1 to 256 letters, digits, `-`, `_` and `.` (Object Storage API).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BucketName(String);

impl BucketName {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BucketName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=BUCKET_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain);
        if !fits || matches!(text, "." | "..") {
            return Err(Error::config(format!("{text:?} is no name of a bucket")));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What Oracle's Python SDK 2.189.0 puts on the wire.
    #[test]
    fn names_are_encoded_as_oracles_sdk_does() {
        for (name, encoded) in [
            ("a~b", "a~b"),
            ("é", "%C3%A9"),
            ("a b", "a%20b"),
            ("100%", "100%25"),
            ("a/../b", "a%2F..%2Fb"),
            ("a+b", "a%2Bb"),
            ("it's", "it%27s"),
            (
                "a:b@c,d;e=f$g!h*i(j)",
                "a%3Ab%40c%2Cd%3Be%3Df%24g%21h%2Ai%28j%29",
            ),
        ] {
            let name: ObjectName = name.parse().unwrap();
            assert_eq!(encode(name.as_str()).to_string(), encoded);
        }
    }

    #[test]
    fn names_that_the_service_or_http_would_change_are_refused() {
        for bad in [
            "",
            ".",
            "..",
            "a\nb",
            "a#b",
            "a?b",
            "a\0",
            &"x".repeat(1025),
        ] {
            assert!(bad.parse::<ObjectName>().is_err(), "{bad:?}");
        }
        for bad in ["", "..", "a/b", "a b", &"x".repeat(257)] {
            assert!(bad.parse::<BucketName>().is_err(), "{bad:?}");
        }
    }
}
