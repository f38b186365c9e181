//! Object Storage, API version 20160918: objects of one bucket, read and written with checks.
//!
//! Every operation is retried as long as [`RetryPolicy`] says and signed afresh each time. What is
//! written is compared with the checksum that the service computed of what it stored; what is read is
//! read in ranges, so that a broken connection costs one range.

mod bucket;
mod checksum;
mod download;
mod lifecycle;
mod multipart;
mod name;
mod read;
mod retry;
mod upload;
mod write;

pub use bucket::{Bucket, namespace};
pub use checksum::{Md5Sum, Sha256Sum, multipart_md5};
pub use download::{Download, DownloadOptions};
pub use lifecycle::{LifecycleRule, NameFilter};
pub use multipart::{Part, PartNumber, UploadId, UploadInfo};
pub use name::{BucketName, ObjectName};
pub use read::{ArchivalState, Head, Listed, Page};
pub use retry::RetryPolicy;
pub use upload::{Upload, UploadOptions};
pub use write::{PutOptions, StorageTier, Stored};

/// A part is at least so large, but for an object's last: Oracle's command line says so, and the
/// page of multipart uploads says only that there is a minimum.
pub const PART_BYTES_MIN: usize = 10 << 20;
/// Parts of one object at most.
pub const PARTS_MAX: u16 = 10_000;
/// Objects in one page of a listing at most.
pub const PAGE_OBJECTS_MAX: usize = 1_000;
