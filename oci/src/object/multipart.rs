//! The single steps of a multipart upload.

use std::fmt;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderValue, IF_NONE_MATCH};
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, header_value};
use super::checksum::Md5Sum;
use super::name::{ObjectName, encode};
use super::write::{CONTENT_MD5, PutOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::request::Payload;
use crate::signer::digest;
use crate::transport::Answer;

/// Ten thousand parts fill several pages; a page is at most this.
const PAGE_BYTES_MAX: usize = 4 << 20;
const PAGES_MAX: usize = 10_000;
const OCTETS: &str = "application/octet-stream";

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
        let answer = self.post("/u", &ask, !options.overwrite, true).await;
        let answer = answer.map_err(|error| match error.kind() {
            ErrorKind::NotFound => error.with_hint(
                "an object in parts needs OBJECT_OVERWRITE as well as OBJECT_CREATE, even where it is new",
            ),
            _ => error,
        })?;
        let created: Created = parse(&answer, "the new upload")?;
        Ok(UploadId(created.upload_id))
    }

    /// Sends a part; one of the same number is replaced.
    ///
    /// # Errors
    /// Kind `Corrupt` when the service again and again stored other bytes; others as they come.
    pub async fn put_part(
        &self,
        name: &ObjectName,
        upload: &UploadId,
        number: PartNumber,
        bytes: Bytes,
    ) -> Result<Part> {
        let md5 = Md5Sum::of(&bytes);
        let target = format!(
            "{}&uploadPartNum={number}",
            self.upload_target(name, upload)
        );
        let headers = [(CONTENT_MD5, header_value("content-md5", &md5.to_string())?)];
        let payload = Payload::Unsigned {
            bytes: bytes.clone(),
            content_type: OCTETS,
        };
        let call = self.call(Method::PUT, payload, &headers, bytes.len());
        let mut tries = self.tries();
        loop {
            match self.put_once(&target, &call, md5).await {
                Ok(etag) => {
                    let size = bytes.len() as u64;
                    return Ok(Part {
                        number,
                        etag,
                        md5,
                        size,
                    });
                }
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
        self.post(&target, &commit, !overwrite, false).await
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
        only_new: bool,
        again: bool,
    ) -> Result<Answer> {
        let bytes =
            serde_json::to_vec(body).map_err(|error| Error::config(format!("{rest}: {error}")))?;
        let sha256 = digest(&bytes);
        let only = [(IF_NONE_MATCH, HeaderValue::from_static("*"))];
        let headers = if only_new { &only[..] } else { &[] };
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

fn parse<T: for<'a> Deserialize<'a>>(answer: &Answer, what: &str) -> Result<T> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| Error::new(ErrorKind::Unexpected, format!("{what}: {error}")))
}
