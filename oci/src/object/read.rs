//! Objects, looked at, listed and read.

use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;
use reqwest::header::{IF_MATCH, RANGE};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::bucket::{Bucket, header_value};
use super::checksum::Md5Sum;
use super::name::{ObjectName, encode};
use super::write::StorageTier;
use crate::error::{Error, ErrorKind, Result};
use crate::request::Payload;
use crate::transport::Answer;

/// A page of 1000 names of 1024 bytes, each escaped as JSON at its worst.
const PAGE_BYTES_MAX: usize = 8 << 20;
/// Pages that one listing reads at most: ten million objects.
const PAGES_MAX: usize = 10_000;

/// Whether an object of the Archive tier can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchivalState {
    /// Not before a restore was asked for.
    Archived,
    /// Within about an hour.
    Restoring,
    /// Now, for a while.
    Restored,
}

impl ArchivalState {
    fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "archived" => Some(Self::Archived),
            "restoring" => Some(Self::Restoring),
            "restored" => Some(Self::Restored),
            _ => None,
        }
    }
}

/// What HeadObject says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// In bytes.
    pub size: u64,
    /// Names these very bytes.
    pub etag: String,
    /// Of an object that was written in one request.
    pub md5: Option<Md5Sum>,
    /// Of an object that was written in parts; see [`super::multipart_md5`].
    pub multipart_md5: Option<String>,
    /// Where it lies; Standard where nothing is said.
    pub tier: StorageTier,
    /// Set in the Archive tier only.
    pub archival: Option<ArchivalState>,
    /// The service's clock at the answer.
    pub date: Option<SystemTime>,
}

impl Head {
    /// Refuses an object that Oracle has to restore first.
    ///
    /// # Errors
    /// Kind `Archived`, with the way to restore it.
    pub fn require_readable(&self, name: &ObjectName) -> Result<()> {
        match self.archival {
            Some(ArchivalState::Archived) => Err(archived(name)),
            Some(ArchivalState::Restoring) => Err(Error::new(
                ErrorKind::Archived,
                format!("{name} is being restored from the Archive tier"),
            )
            .with_hint("that takes up to an hour; try again then")),
            _ => Ok(()),
        }
    }
}

fn archived(name: &ObjectName) -> Error {
    Error::new(
        ErrorKind::Archived,
        format!("{name} lies in the Archive tier and cannot be read"),
    )
    .with_hint(format!(
        "ask for it and wait up to an hour: oci os object restore --bucket-name BUCKET --name '{name}' --hours 24"
    ))
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Names these very bytes.
    pub etag: String,
    /// Of an object that was written in one request.
    pub md5: Option<String>,
    /// RFC 3339, by the service's clock.
    pub created: String,
    /// Where it lies.
    pub tier: Option<StorageTier>,
    /// Set in the Archive tier only.
    pub archival: Option<ArchivalState>,
}

/// A part of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their names' bytes.
    pub objects: Vec<Listed>,
    /// Where the next page begins; none after the last.
    pub next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListObjects {
    objects: Vec<ObjectSummary>,
    next_start_with: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectSummary {
    name: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    etag: String,
    md5: Option<String>,
    #[serde(default)]
    time_created: String,
    storage_tier: Option<String>,
    archival_state: Option<String>,
}

impl From<ObjectSummary> for Listed {
    fn from(summary: ObjectSummary) -> Self {
        let tier = summary.storage_tier.as_deref();
        let archival = summary.archival_state.as_deref();
        Self {
            tier: tier.and_then(StorageTier::from_name),
            archival: archival.and_then(ArchivalState::from_name),
            name: summary.name,
            size: summary.size,
            etag: summary.etag,
            md5: summary.md5,
            created: summary.time_created,
        }
    }
}

impl Bucket {
    /// What the service knows of an object.
    ///
    /// # Errors
    /// Kind `NotFound` when there is none, or no policy to see it; others as they come.
    pub async fn head(&self, name: &ObjectName) -> Result<Head> {
        let target = self.object_target(name);
        let call = self.call(Method::HEAD, Payload::None, &[], 0);
        let answer = self.ask_again(&target, &call).await?;
        head(&answer).ok_or_else(|| {
            Error::new(
                ErrorKind::Unexpected,
                format!("HEAD {name}: no length or ETag"),
            )
        })
    }

    /// Reads `range` of an object that must still be the one named by `etag`.
    ///
    /// # Errors
    /// Kind `Precondition` when it is another by now, `Archived` when it cannot be read, `Corrupt`
    /// when other bytes than asked for came again and again; others as they come.
    pub async fn get_range(
        &self,
        name: &ObjectName,
        etag: &str,
        range: Range<u64>,
    ) -> Result<Bytes> {
        let length = usize::try_from(range.end.saturating_sub(range.start))
            .map_err(|_| Error::config("the range does not fit into memory"))?;
        if length == 0 {
            return Ok(Bytes::new());
        }
        let bounds = format!("bytes={}-{}", range.start, range.end - 1);
        let headers = [
            (RANGE, header_value("range", &bounds)?),
            (IF_MATCH, header_value("if-match", etag)?),
        ];
        let target = self.object_target(name);
        let mut call = self.call(Method::GET, Payload::None, &headers, length);
        // One more shows an answer that is too long.
        call.answer_bytes_max = length + 1;
        let mut tries = self.tries();
        loop {
            let answer = self.ask(&target, &call).await;
            let error = match answer.and_then(|answer| within(answer, &range)) {
                Ok(bytes) => return Ok(bytes),
                Err(error) if error.code() == Some("NotRestored") => return Err(archived(name)),
                Err(error) => error,
            };
            tries.pause_after(error).await?;
        }
    }

    /// Reads a small object as a whole: `None` when there is none.
    ///
    /// # Errors
    /// Kind `TooLarge` when it is larger than `bytes_max`; those of [`Self::get_range`].
    pub async fn get_small(&self, name: &ObjectName, bytes_max: u64) -> Result<Option<Bytes>> {
        let head = match self.head(name).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            head => head?,
        };
        head.require_readable(name)?;
        if head.size > bytes_max {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("{name} has {} bytes, the limit is {bytes_max}", head.size),
            ));
        }
        let bytes = self.get_range(name, &head.etag, 0..head.size).await?;
        if head.md5.is_some_and(|md5| md5 != Md5Sum::of(&bytes)) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("{name}: the bytes read are not those of its MD5"),
            ));
        }
        Ok(Some(bytes))
    }

    /// One page of the objects whose names begin with `prefix`, from `start` on.
    ///
    /// # Errors
    /// As they come.
    pub async fn list_page(&self, prefix: &str, start: Option<&str>) -> Result<Page> {
        let mut target =
            self.target("/o?fields=name,size,etag,md5,timeCreated,storageTier,archivalState");
        target = target.replace(',', "%2C");
        target.push_str(&format!("&prefix={}", encode(prefix)));
        if let Some(start) = start {
            target.push_str(&format!("&start={}", encode(start)));
        }
        let mut call = self.call(Method::GET, Payload::None, &[], 0);
        call.answer_bytes_max = PAGE_BYTES_MAX;
        let answer = self.ask_again(&target, &call).await?;
        let list: ListObjects = serde_json::from_slice(&answer.body).map_err(|error| {
            Error::new(
                ErrorKind::Unexpected,
                format!("the list of {prefix}*: {error}"),
            )
        })?;
        Ok(Page {
            objects: list.objects.into_iter().map(Listed::from).collect(),
            next: list.next_start_with,
        })
    }

    /// All objects whose names begin with `prefix`, page after page.
    ///
    /// # Errors
    /// As they come; kind `TooLarge` beyond ten million objects.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Listed>> {
        let mut all = Vec::new();
        let mut start: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = self.list_page(prefix, start.as_deref()).await?;
            all.extend(page.objects);
            // A page that begins where the last one did would go on for ever.
            match page.next {
                Some(next) if start.as_ref() != Some(&next) => start = Some(next),
                _ => return Ok(all),
            }
        }
        Err(Error::new(
            ErrorKind::TooLarge,
            format!("more than {} objects begin with {prefix:?}", all.len()),
        ))
    }
}

fn head(answer: &Answer) -> Option<Head> {
    let tier = answer.header("storage-tier");
    let archival = answer.header("archival-state");
    Some(Head {
        size: answer.header("content-length")?.parse().ok()?,
        etag: answer.header("etag")?,
        md5: answer
            .header("content-md5")
            .and_then(|text| Md5Sum::from_base64(&text)),
        multipart_md5: answer.header("opc-multipart-md5"),
        tier: tier
            .and_then(|name| StorageTier::from_name(&name))
            .unwrap_or(StorageTier::Standard),
        archival: archival.and_then(|name| ArchivalState::from_name(&name)),
        date: answer.date(),
    })
}

/// The bytes of an answer that holds `range` and nothing else.
fn within(answer: Answer, range: &Range<u64>) -> Result<Bytes> {
    let length = range.end - range.start;
    let begins = format!("bytes {}-{}/", range.start, range.end - 1);
    let said = answer.header("content-range").unwrap_or_default();
    let partial = answer.status == StatusCode::PARTIAL_CONTENT && said.starts_with(&begins);
    if !partial || answer.body.len() as u64 != length {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "asked for {length} bytes from {}, got status {}, content-range {said:?}, {} bytes",
                range.start,
                answer.status,
                answer.body.len()
            ),
        ));
    }
    Ok(answer.body)
}
