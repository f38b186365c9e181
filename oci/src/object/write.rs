//! Whole objects, written and deleted.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};

use super::bucket::{Bucket, header_value};
use super::checksum::Md5Sum;
use super::name::ObjectName;
use crate::error::{Error, ErrorKind, Result};
use crate::request::{Call, Payload};
use crate::transport::Answer;

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const STORAGE_TIER: HeaderName = HeaderName::from_static("storage-tier");
const OCTETS: &str = "application/octet-stream";

/// Where an object lies, and what reading it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageTier {
    /// Read at once, no minimum age.
    Standard,
    /// Read at once for a fee, billed for 31 days at least.
    InfrequentAccess,
    /// Read after a restore of about an hour, billed for 90 days at least.
    Archive,
}

impl StorageTier {
    /// The name in headers and listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::InfrequentAccess => "InfrequentAccess",
            Self::Archive => "Archive",
        }
    }

    /// From a header or listing.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Standard, Self::InfrequentAccess, Self::Archive]
            .into_iter()
            .find(|tier| tier.name().eq_ignore_ascii_case(name))
    }
}

/// How an object is written.
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    /// Replace an object of this name. Otherwise that is an error of kind `Precondition`.
    pub overwrite: bool,
    /// Without one, `application/octet-stream`.
    pub content_type: Option<String>,
    /// Without one, the bucket's.
    pub tier: Option<StorageTier>,
}

/// An object that was written and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Names these very bytes.
    pub etag: String,
    /// In bytes.
    pub size: u64,
    /// Parts that it was sent in; 1 for one request.
    pub parts: usize,
}

impl Stored {
    fn whole(etag: String, bytes: usize) -> Self {
        Self {
            etag,
            size: bytes as u64,
            parts: 1,
        }
    }
}

impl Bucket {
    /// Writes an object in one request: at most 50 GiB, and all of it in memory.
    ///
    /// An answer that was lost is made good: a second attempt that finds an object of the same
    /// bytes has succeeded.
    ///
    /// # Errors
    /// Kind `Precondition` when the name is taken by other bytes; `Corrupt` when the service stored
    /// other bytes than were sent; others as they come.
    pub async fn put(
        &self,
        name: &ObjectName,
        bytes: Bytes,
        options: &PutOptions,
    ) -> Result<Stored> {
        let md5 = Md5Sum::of(&bytes);
        let target = self.object_target(name);
        let mut headers = vec![(CONTENT_MD5, header_value("content-md5", &md5.to_string())?)];
        if !options.overwrite {
            headers.push((IF_NONE_MATCH, HeaderValue::from_static("*")));
        }
        if let Some(tier) = options.tier {
            headers.push((STORAGE_TIER, HeaderValue::from_static(tier.name())));
        }
        let payload = Payload::Unsigned {
            bytes: bytes.clone(),
            content_type: options.content_type.as_deref().unwrap_or(OCTETS),
        };
        let call = self.call(Method::PUT, payload, &headers, bytes.len());
        let mut tries = self.tries();
        loop {
            let error = match self.put_once(&target, &call, md5).await {
                Ok(etag) => return Ok(Stored::whole(etag, bytes.len())),
                Err(error) => error,
            };
            if tries.is_repeated() && error.kind() == ErrorKind::Precondition {
                // An earlier attempt may have written it, and its answer was lost.
                let head = self.head(name).await?;
                let same = head.md5 == Some(md5) && head.size == bytes.len() as u64;
                return if same {
                    Ok(Stored::whole(head.etag, bytes.len()))
                } else {
                    Err(error)
                };
            }
            tries.pause_after(error).await?;
        }
    }

    /// One attempt; the ETag of what was stored.
    async fn put_once(&self, target: &str, call: &Call<'_>, md5: Md5Sum) -> Result<String> {
        let answer = self.ask(target, call).await?;
        check_md5(&answer, md5)?;
        etag(&answer)
    }

    /// Deletes an object; with `etag`, only if it is still that one. Whether there was one.
    ///
    /// # Errors
    /// As they come. Oracle answers 404 as well where a policy forbids deleting: an object that is
    /// still there afterwards is an error of kind `Forbidden`.
    pub async fn delete(&self, name: &ObjectName, etag: Option<&str>) -> Result<bool> {
        let target = self.object_target(name);
        let mut headers = Vec::new();
        if let Some(etag) = etag {
            headers.push((IF_MATCH, header_value("if-match", etag)?));
        }
        let call = self.call(Method::DELETE, Payload::None, &headers, 0);
        let error = match self.ask_again(&target, &call).await {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => error,
            Err(error) => return Err(error),
        };
        match self.head(name).await {
            Err(head) if head.kind() == ErrorKind::NotFound => Ok(false),
            Err(head) => Err(head),
            Ok(_) => Err(error
                .with_kind(ErrorKind::Forbidden)
                .with_hint("the object is there: this credential may not delete (OBJECT_DELETE)")),
        }
    }
}

/// The ETag that every write answers with.
pub(super) fn etag(answer: &Answer) -> Result<String> {
    answer
        .header("etag")
        .ok_or_else(|| Error::new(ErrorKind::Unexpected, "the answer has no ETag"))
}

/// Compares what the service stored with what was sent.
pub(super) fn check_md5(answer: &Answer, sent: Md5Sum) -> Result<()> {
    let stored = answer.header("opc-content-md5");
    if stored.as_deref().and_then(Md5Sum::from_base64) == Some(sent) {
        return Ok(());
    }
    let stored = stored.as_deref().unwrap_or("none");
    Err(Error::new(
        ErrorKind::Corrupt,
        format!("sent bytes of MD5 {sent}, the service stored {stored}"),
    ))
}
