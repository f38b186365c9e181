//! The single steps of a multipart upload.

use std::fmt;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue, IF_NONE_MATCH};
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, header_value};
use super::checksum::{Md5Sum, Sha256Sum};
use super::name::{ObjectName, encode};
use super::write::{PutOptions, check_md5, etag};
use crate::error::{Error, ErrorKind, Result};
use crate::request::Payload;
use crate::signer::digest;
use crate::transport::Answer;

/// Ten thousand parts fill several pages; a page is at most this.
const PAGE_BYTES_MAX: usize = 4 << 20;
const PAGES_MAX: usize = 10_000;
const OCTETS: &str = "application/octet-stream";
const CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("opc-checksum-algorithm");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("opc-content-sha256");

/// 1 to 10,000.
pub type PartNumber = u16;

/// Names an upload that is not committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(String);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A part that the service has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its place.
    pub number: PartNumber,
    /// Names these very bytes.
    pub etag: String,
    /// As the service computed it.
    pub md5: Md5Sum,
    /// In bytes.
    pub size: u64,
}

/// An upload that was begun and neither committed nor aborted. It is billed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadInfo {
    /// The object that it would become.
    pub object: String,
    /// Its id.
    pub id: UploadId,
    /// RFC 3339, by the service's clock.
    pub created: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Create<'a> {
    object: &'a str,
    content_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_tier: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    upload_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartSummary {
    part_number: PartNumber,
    etag: String,
    md5: String,
    size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UploadSummary {
    object: String,
    upload_id: String,
    #[serde(default)]
    time_created: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Commit<'a> {
    parts_to_commit: Vec<PartToCommit<'a>>,
    parts_to_exclude: [PartNumber; 0],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PartToCommit<'a> {
    part_num: PartNumber,
    etag: &'a str,
}

impl Bucket {
    /// Begins an upload. An answer that is lost leaves an upload behind: [`Self::uploads`] shows it.
    ///
    /// # Errors
    /// Kind `Precondition` when the name is taken; others as they come.
    pub async fn create_upload(&self, name: &ObjectName, options: &PutOptions) -> Result<UploadId> {
        let ask = Create {
            object: name.as_str(),
            content_type: options.content_type.as_deref().unwrap_or(OCTETS),
            storage_tier: options.tier.map(super::StorageTier::name),
        };
        let mut headers = vec![with_sha256()];
        headers.extend((!options.overwrite).then(only_new));
        let answer = self.post("/u", &ask, &headers, true).await;
        let answer = answer.map_err(|error| match error.kind() {
            ErrorKind::NotFound => error.with_hint(
                "an object in parts needs OBJECT_OVERWRITE as well as OBJECT_CREATE, even where it is new",
            ),
            _ => error,
        })?;
        let created: Created = parse(&answer, "the new upload")?;
        Ok(UploadId(created.upload_id))
    }

    /// Sends a part whose SHA-256 is known; one of the same number is replaced.
    ///
    /// # Errors
    /// Kind `Corrupt` when the service again and again stored other bytes; others as they come.
    pub async fn put_part(
        &self,
        name: &ObjectName,
        upload: &UploadId,
        number: PartNumber,
        bytes: Bytes,
        sha256: Sha256Sum,
    ) -> Result<Part> {
        let target = format!(
            "{}&uploadPartNum={number}",
            self.upload_target(name, upload)
        );
        let sum = header_value("opc-content-sha256", &sha256.to_string())?;
        let headers = [with_sha256(), (CONTENT_SHA256, sum)];
        let payload = Payload::Unsigned {
            bytes: bytes.clone(),
            content_type: OCTETS,
        };
        let call = self.call(Method::PUT, payload, &headers, bytes.len());
        let mut tries = self.tries();
        loop {
            let answer = self.ask(&target, &call).await;
            match answer.and_then(|answer| stored(number, &answer, &bytes, sha256)) {
                Ok(part) => return Ok(part),
                Err(error) => tries.pause_after(error).await?,
            }
        }
    }

    /// The parts that the service has, by number.
    ///
    /// # Errors
    /// Kind `NotFound` when there is no such upload; others as they come.
    pub async fn parts(&self, name: &ObjectName, upload: &UploadId) -> Result<Vec<Part>> {
        let target = format!("{}&limit=1000", self.upload_target(name, upload));
        let found: Vec<PartSummary> = self.pages(&target).await?;
        let mut parts = Vec::with_capacity(found.len());
        for part in found {
            let md5 = Md5Sum::from_base64(&part.md5).ok_or_else(|| {
                Error::new(
                    ErrorKind::Unexpected,
                    format!("part {} has no MD5", part.part_number),
                )
            })?;
            parts.push(Part {
                number: part.part_number,
                etag: part.etag,
                md5,
                size: part.size,
            });
        }
        parts.sort_by_key(|part| part.number);
        Ok(parts)
    }

    /// Makes an object of these parts: one attempt, for its answer decides what to do.
    ///
    /// # Errors
    /// Kind `Precondition` when the name was taken meanwhile; others as they come.
    pub(super) async fn commit_once(
        &self,
        name: &ObjectName,
        upload: &UploadId,
        parts: &[Part],
        overwrite: bool,
    ) -> Result<Answer> {
        let commit = Commit {
            parts_to_commit: parts
                .iter()
                .map(|part| PartToCommit {
                    part_num: part.number,
                    etag: &part.etag,
                })
                .collect(),
            parts_to_exclude: [],
        };
        let target = format!(
            "/u/{}?uploadId={}",
            encode(name.as_str()),
            encode(&upload.0)
        );
        let headers: Vec<_> = (!overwrite).then(only_new).into_iter().collect();
        self.post(&target, &commit, &headers, false).await
    }

    /// Gives an upload up; its parts are no longer billed. One that is gone already is no error.
    ///
    /// # Errors
    /// As they come. Oracle answers 404 as well where a policy forbids it: an upload that is still
    /// there afterwards is an error of kind `Forbidden`.
    pub async fn abort(&self, name: &ObjectName, upload: &UploadId) -> Result<()> {
        let call = self.call(Method::DELETE, Payload::None, &[], 0);
        let target = self.upload_target(name, upload);
        let error = match self.ask_again(&target, &call).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => error,
            Err(error) => return Err(error),
        };
        match self.parts(name, upload).await {
            Err(parts) if parts.kind() == ErrorKind::NotFound => Ok(()),
            Err(parts) => Err(parts),
            Ok(_) => Err(error.with_kind(ErrorKind::Forbidden).with_hint(
                "the upload is there: this credential may not abort it (OBJECT_DELETE)",
            )),
        }
    }

    /// The uploads of this bucket that are neither committed nor aborted.
    ///
    /// # Errors
    /// As they come.
    pub async fn uploads(&self) -> Result<Vec<UploadInfo>> {
        let found: Vec<UploadSummary> = self.pages(&self.target("/u?limit=1000")).await?;
        let info = |upload: UploadSummary| UploadInfo {
            object: upload.object,
            id: UploadId(upload.upload_id),
            created: upload.time_created,
        };
        Ok(found.into_iter().map(info).collect())
    }

    fn upload_target(&self, name: &ObjectName, upload: &UploadId) -> String {
        let name = encode(name.as_str());
        self.target(&format!("/u/{name}?uploadId={}", encode(&upload.0)))
    }

    async fn post(
        &self,
        rest: &str,
        body: &impl Serialize,
        headers: &[(HeaderName, HeaderValue)],
        again: bool,
    ) -> Result<Answer> {
        let bytes =
            serde_json::to_vec(body).map_err(|error| Error::config(format!("{rest}: {error}")))?;
        let sha256 = digest(&bytes);
        let payload = Payload::Json {
            bytes: bytes.into(),
            sha256: &sha256,
        };
        let call = self.call(Method::POST, payload, headers, 0);
        let target = self.target(rest);
        if again {
            self.ask_again(&target, &call).await
        } else {
            self.ask(&target, &call).await
        }
    }

    /// The elements of an array that comes in pages.
    async fn pages<T: for<'a> Deserialize<'a>>(&self, target: &str) -> Result<Vec<T>> {
        let mut all = Vec::new();
        let mut page: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let target = match &page {
                Some(page) => format!("{target}&page={}", encode(page)),
                None => target.to_owned(),
            };
            let mut call = self.call(Method::GET, Payload::None, &[], 0);
            call.answer_bytes_max = PAGE_BYTES_MAX;
            let answer = self.ask_again(&target, &call).await?;
            all.extend(parse::<Vec<T>>(&answer, "a page")?);
            match answer.header("opc-next-page") {
                Some(next) if page.as_ref() != Some(&next) => page = Some(next),
                _ => return Ok(all),
            }
        }
        Err(Error::new(ErrorKind::TooLarge, "a listing without an end"))
    }
}

/// Has the service compute SHA-256 besides MD5 (UploadPart, "opc-checksum-algorithm").
fn with_sha256() -> (HeaderName, HeaderValue) {
    (CHECKSUM_ALGORITHM, HeaderValue::from_static("SHA256"))
}

fn only_new() -> (HeaderName, HeaderValue) {
    (IF_NONE_MATCH, HeaderValue::from_static("*"))
}

/// The part that the service has, if it is the one that was sent.
fn stored(number: PartNumber, answer: &Answer, bytes: &Bytes, sha256: Sha256Sum) -> Result<Part> {
    let md5 = match answer.header("opc-content-sha256") {
        Some(said) if said == sha256.to_string() => answer_md5(answer)?,
        Some(said) => {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("sent bytes of SHA-256 {sha256}, the service stored {said}"),
            ));
        }
        // A service that knows MD5 only.
        None => {
            let md5 = Md5Sum::of(bytes);
            check_md5(answer, md5)?;
            md5
        }
    };
    Ok(Part {
        number,
        etag: etag(answer)?,
        md5,
        size: bytes.len() as u64,
    })
}

/// The MD5 that the service computed: listings and the whole object's checksum have it.
fn answer_md5(answer: &Answer) -> Result<Md5Sum> {
    let said = answer.header("opc-content-md5");
    said.as_deref()
        .and_then(Md5Sum::from_base64)
        .ok_or_else(|| Error::new(ErrorKind::Unexpected, "the answer has no MD5 of the part"))
}

fn parse<T: for<'a> Deserialize<'a>>(answer: &Answer, what: &str) -> Result<T> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| Error::new(ErrorKind::Unexpected, format!("{what}: {error}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use reqwest::StatusCode;
    use reqwest::header::HeaderMap;

    use super::*;

    fn answer(headers: &[(&'static str, &str)]) -> Answer {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.insert(*name, value.parse().unwrap());
        }
        Answer {
            status: StatusCode::OK,
            headers: all,
            body: Bytes::new(),
        }
    }

    #[test]
    fn a_part_counts_by_the_sums_that_the_service_knows() {
        let bytes = Bytes::from_static(b"part");
        let sha256 = Sha256Sum::of(&bytes);
        let md5 = Md5Sum::of(&bytes);
        let (good, good_md5) = (sha256.to_string(), md5.to_string());
        let (other, other_md5) = (
            Sha256Sum::of(b"x").to_string(),
            Md5Sum::of(b"x").to_string(),
        );
        let kind = |headers: &[(&'static str, &str)]| {
            let part = stored(1, &answer(headers), &bytes, sha256);
            part.map(|part| (part.md5, part.size))
                .map_err(|error| error.kind())
        };
        let right = Ok((md5, 4));
        let (etag, sum, old) = (("etag", "e"), "opc-content-sha256", "opc-content-md5");
        assert_eq!(kind(&[etag, (sum, &good), (old, &good_md5)]), right);
        let damaged = kind(&[etag, (sum, &other), (old, &good_md5)]);
        assert_eq!(damaged, Err(ErrorKind::Corrupt));
        assert_eq!(kind(&[etag, (old, &good_md5)]), right);
        assert_eq!(kind(&[etag, (old, &other_md5)]), Err(ErrorKind::Corrupt));
    }
}
