//! One file of the quarantine, version 1: `{"version":1,"refused_at":"…","answer":"…","body":{…}}`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const VERSION: u32 = 1;

/// One refused entry.
#[derive(Debug, Deserialize, Serialize)]
pub struct Record {
    version: u32,
    /// When it was refused, RFC 3339.
    pub refused_at: String,
    /// What the service said.
    pub answer: String,
    /// One PutLogs body with one entry.
    pub body: Box<RawValue>,
}

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not one, or not a whole one.
    #[error("the record is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// Written by another release.
    #[error("format version {0}, this release reads {VERSION}")]
    Version(u32),
}

impl Record {
    /// A body that was refused with this answer.
    ///
    /// # Errors
    /// When the body is not JSON.
    pub fn new(body: &[u8], answer: String, refused_at: String) -> Result<Self, RecordError> {
        let body: &RawValue = serde_json::from_slice(body)?;
        Ok(Self {
            version: VERSION,
            refused_at,
            answer,
            body: body.to_owned(),
        })
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// None: what is in it is text and JSON.
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// When it is not a record that this release reads.
    pub fn decode(file: &[u8]) -> Result<Self, RecordError> {
        let record: Self = serde_json::from_slice(file)?;
        match record.version {
            VERSION => Ok(record),
            other => Err(RecordError::Version(other)),
        }
    }
}
