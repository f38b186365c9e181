//! What killed runs left in a bucket: uploads that are neither committed nor aborted. They are
//! billed, and no listing of objects shows them.

use oci::ErrorKind;
use oci::object::{Bucket, UploadInfo};

use crate::backup::listing::set_time;
use crate::backup::store::Store;

/// Left-over uploads of ours. Those of a run that may still be going are not: they are younger
/// than `age_hours_min`.
///
/// # Errors
/// When the bucket cannot be read.
pub async fn uploads(store: &Store, age_hours_min: i64) -> anyhow::Result<Vec<UploadInfo>> {
    let Store::Bucket { bucket, prefix } = store else {
        return Ok(Vec::new());
    };
    let now = jiff::Timestamp::now();
    let is_ours = |upload: &UploadInfo| {
        let id = upload
            .object
            .strip_prefix(prefix)
            .and_then(|name| name.split('/').next());
        id.and_then(set_time)
            .is_some_and(|began| now.as_second() - began.as_second() >= age_hours_min * 3600)
    };
    match bucket.uploads().await {
        // A credential may be allowed to write and not to see this.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        uploads => Ok(uploads?.into_iter().filter(is_ours).collect()),
    }
}

/// Gives an upload up.
///
/// # Errors
/// As they come.
pub async fn abort(bucket: &Bucket, upload: &UploadInfo) -> anyhow::Result<()> {
    Ok(bucket.abort(&upload.object.parse()?, &upload.id).await?)
}
