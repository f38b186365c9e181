//! An object, read in ranges that are fetched ahead.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::bucket::Bucket;
use super::name::ObjectName;
use super::read::Head;
use crate::error::{Error, ErrorKind, Result};

/// How an object is read.
#[derive(Clone, Copy, Debug)]
pub struct DownloadOptions {
    /// Bytes of one range.
    pub range_bytes: u64,
    /// Ranges under way at once; all of them are held in memory.
    pub ranges_in_flight_max: usize,
}

impl Default for DownloadOptions {
    fn default() -> Self {
        Self {
            range_bytes: 8 << 20,
            ranges_in_flight_max: 3,
        }
    }
}

/// A read under way; dropping it stops it.
#[derive(Debug)]
pub struct Download {
    bucket: Bucket,
    name: ObjectName,
    head: Head,
    options: DownloadOptions,
    asked: u64,
    pending: VecDeque<JoinHandle<Result<Bytes>>>,
}

impl Download {
    /// Asks what the object is; an archived one is refused.
    ///
    /// # Errors
    /// Kind `NotFound`, `Archived`; others as they come.
    pub async fn open(bucket: Bucket, name: ObjectName, options: DownloadOptions) -> Result<Self> {
        let head = bucket.head(&name).await?;
        head.require_readable(&name)?;
        Ok(Self {
            bucket,
            name,
            head,
            options,
            asked: 0,
            pending: VecDeque::new(),
        })
    }

    /// What the object is.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The next bytes: a whole range, but for the last. `None` after it.
    ///
    /// # Errors
    /// Those of [`Bucket::get_range`].
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        self.ask_ahead();
        let Some(range) = self.pending.front_mut() else {
            return Ok(None);
        };
        let bytes = range.await;
        self.pending.pop_front();
        let bytes = bytes.map_err(|error| {
            Error::new(ErrorKind::Io, format!("reading {}: {error}", self.name))
        })??;
        Ok(Some(bytes))
    }

    fn ask_ahead(&mut self) {
        while self.asked < self.head.size
            && self.pending.len() < self.options.ranges_in_flight_max.max(1)
        {
            let end = (self.asked + self.options.range_bytes.max(1)).min(self.head.size);
            let range = self.asked..end;
            self.asked = end;
            let (bucket, name) = (self.bucket.clone(), self.name.clone());
            let etag = self.head.etag.clone();
            self.pending.push_back(tokio::spawn(async move {
                bucket.get_range(&name, &etag, range).await
            }));
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        for range in &self.pending {
            range.abort();
        }
    }
}
