//! An object of unknown length, sent in parts while it is being made.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::PARTS_MAX;
use super::bucket::Bucket;
use super::checksum::{Md5Sum, Sha256Sum, is_multipart_md5};
use super::multipart::{Part, PartNumber, UploadId};
use super::name::ObjectName;
use super::write::{PutOptions, Stored};
use crate::error::{Error, ErrorKind, Result};

/// How an object is sent.
#[derive(Clone, Debug)]
pub struct UploadOptions {
    /// How the object is written.
    pub put: PutOptions,
    /// Parts under way at once; with the one being filled, that is what is held in memory.
    pub parts_in_flight_max: usize,
}

impl Default for UploadOptions {
    /// Three, as Oracle's Python SDK.
    fn default() -> Self {
        Self {
            put: PutOptions::default(),
            parts_in_flight_max: 3,
        }
    }
}

/// An upload under way. Without [`Self::finish`] there is no object; without [`Self::abort`] the
/// service keeps the parts.
#[derive(Debug)]
pub struct Upload {
    bucket: Bucket,
    name: ObjectName,
    options: UploadOptions,
    id: Option<UploadId>,
    /// The first part, until a second one shows that there is more than one.
    first: Option<(Bytes, Sha256Sum)>,
    /// Parts of an earlier run.
    earlier: BTreeMap<PartNumber, Part>,
    next: PartNumber,
    sending: JoinSet<Result<Part>>,
    sent: Vec<Part>,
    sent_bytes: u64,
}

impl Upload {
    /// Begins; makes no request.
    pub fn new(bucket: Bucket, name: ObjectName, options: UploadOptions) -> Self {
        Self {
            bucket,
            name,
            options,
            id: None,
            first: None,
            earlier: BTreeMap::new(),
            next: 1,
            sending: JoinSet::new(),
            sent: Vec::new(),
            sent_bytes: 0,
        }
    }

    /// Goes on with an upload that was interrupted. The same parts are written again from the
    /// first on: those that the service has are not sent.
    ///
    /// # Errors
    /// Kind `NotFound` when there is no such upload; others as they come.
    pub async fn resume(
        bucket: Bucket,
        name: ObjectName,
        id: UploadId,
        options: UploadOptions,
    ) -> Result<Self> {
        let parts = bucket.parts(&name, &id).await?;
        let mut upload = Self::new(bucket, name, options);
        upload.earlier = parts.into_iter().map(|part| (part.number, part)).collect();
        upload.id = Some(id);
        Ok(upload)
    }

    /// The service's name for it, once more than one part was written.
    pub fn id(&self) -> Option<&UploadId> {
        self.id.as_ref()
    }

    /// Bytes of parts that had to be sent in this run.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Takes the next part; waits while as many as allowed are under way. All but the last must
    /// have [`super::PART_BYTES_MIN`] bytes or more.
    ///
    /// # Errors
    /// That of any part that failed for good: nothing can come of the upload any more.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let sha256 = Sha256Sum::of(&bytes);
        self.write_summed(bytes, sha256).await
    }

    /// The same, where the part's SHA-256 is known already: the service refuses a wrong one.
    ///
    /// # Errors
    /// Those of [`Self::write`].
    pub async fn write_summed(&mut self, bytes: Bytes, sha256: Sha256Sum) -> Result<()> {
        if self.next > PARTS_MAX {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "{}: more than {PARTS_MAX} parts; larger ones are needed",
                    self.name
                ),
            ));
        }
        let number = self.next;
        self.next += 1;
        if number == 1 && self.id.is_none() {
            self.first = Some((bytes, sha256));
            return Ok(());
        }
        if let Some((first, sum)) = self.first.take() {
            let id = self
                .bucket
                .create_upload(&self.name, &self.options.put)
                .await?;
            self.id = Some(id);
            self.send(1, first, sum).await?;
        }
        self.send(number, bytes, sha256).await
    }

    /// Waits until a part could be sent at once: who makes the next one only then holds one less.
    ///
    /// # Errors
    /// Those of [`Self::write`].
    pub async fn ready(&mut self) -> Result<()> {
        while self.sending.len() >= self.options.parts_in_flight_max.max(1) {
            self.join_one().await?;
        }
        Ok(())
    }

    async fn send(&mut self, number: PartNumber, bytes: Bytes, sha256: Sha256Sum) -> Result<()> {
        if let Some(part) = self.earlier.remove(&number)
            && part.size == bytes.len() as u64
            && part.md5 == Md5Sum::of(&bytes)
        {
            self.sent.push(part);
            return Ok(());
        }
        self.ready().await?;
        let Some(id) = self.id.clone() else {
            return Err(Error::config("an upload without an id"));
        };
        self.sent_bytes += bytes.len() as u64;
        let (bucket, name) = (self.bucket.clone(), self.name.clone());
        self.sending
            .spawn(async move { bucket.put_part(&name, &id, number, bytes, sha256).await });
        Ok(())
    }

    async fn join_one(&mut self) -> Result<()> {
        match self.sending.join_next().await {
            Some(Ok(part)) => self.sent.push(part?),
            Some(Err(error)) => {
                return Err(Error::new(
                    ErrorKind::Io,
                    format!("sending a part: {error}"),
                ));
            }
            None => {}
        }
        Ok(())
    }

    /// Waits for all parts, compares them with what the service has, and makes the object.
    ///
    /// # Errors
    /// Kind `Corrupt` when a part is missing or differs, `Precondition` when the name is taken;
    /// others as they come.
    pub async fn finish(&mut self) -> Result<Stored> {
        if self.id.is_none() {
            let bytes = self
                .first
                .take()
                .map(|(bytes, _)| bytes)
                .unwrap_or_default();
            return self.bucket.put(&self.name, bytes, &self.options.put).await;
        }
        while !self.sending.is_empty() {
            self.join_one().await?;
        }
        self.sent.sort_by_key(|part| part.number);
        self.compare().await?;
        self.commit().await
    }

    /// A part can be accepted and lost.
    async fn compare(&self) -> Result<()> {
        let Some(id) = &self.id else {
            return Ok(());
        };
        let has = self.bucket.parts(&self.name, id).await?;
        let key = |part: &Part| (part.number, part.md5, part.size);
        let differs = |part: &&Part| !has.iter().any(|other| key(other) == key(part));
        let wrong = self.sent.iter().find(differs).map(|part| part.number);
        let wrong = wrong.or_else(|| {
            let known = |number| self.sent.iter().any(|part| part.number == number);
            has.iter()
                .map(|part| part.number)
                .find(|number| !known(*number))
        });
        match wrong {
            None => Ok(()),
            Some(number) => Err(Error::new(
                ErrorKind::Corrupt,
                format!("{}: part {number} is not there as it was sent", self.name),
            )),
        }
    }

    async fn commit(&self) -> Result<Stored> {
        let Some(id) = &self.id else {
            return Err(Error::config("an upload without an id"));
        };
        let size = self.sent.iter().map(|part| part.size).sum();
        let parts = self.sent.len();
        let sums: Vec<Md5Sum> = self.sent.iter().map(|part| part.md5).collect();
        let overwrite = self.options.put.overwrite;
        let mut tries = self.bucket.tries();
        let (etag, md5) = loop {
            let answer = self
                .bucket
                .commit_once(&self.name, id, &self.sent, overwrite)
                .await;
            let error = match answer {
                Ok(answer) => break (answer.header("etag"), answer.header("opc-multipart-md5")),
                Err(error) => error,
            };
            let gone = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Precondition);
            if tries.is_repeated() && gone {
                // An earlier attempt may have made the object, and its answer was lost.
                let head = self.bucket.head(&self.name).await.map_err(|_| error)?;
                break (Some(head.etag), head.multipart_md5);
            }
            tries.pause_after(error).await?;
        };
        let same = md5.is_some_and(|md5| is_multipart_md5(&md5, &sums));
        match etag {
            Some(etag) if same => Ok(Stored { etag, size, parts }),
            _ => Err(Error::new(
                ErrorKind::Unexpected,
                format!(
                    "{}: the object made is not that of the parts sent",
                    self.name
                ),
            )),
        }
    }

    /// Gives up: stops what is under way and has the service forget the parts.
    ///
    /// # Errors
    /// As they come; the parts are then billed until they are cleaned up.
    pub async fn abort(mut self) -> Result<()> {
        self.sending.shutdown().await;
        match self.id.take() {
            Some(id) => self.bucket.abort(&self.name, &id).await,
            None => Ok(()),
        }
    }
}
