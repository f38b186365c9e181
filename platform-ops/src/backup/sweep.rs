//! What killed runs left: objects without a manifest, and uploads that are neither committed nor
//! aborted. Those are billed, and no listing of objects shows them.

use bollard::Docker;
use oci::ErrorKind;
use oci::object::{Bucket, UploadInfo};

use crate::backup::journal::{Begun, Journal};
use crate::backup::listing::set_time;
use crate::backup::manifest::MANIFEST;
use crate::backup::store::{Store, may_not_delete};
use crate::backup::{outcome, throwaway};
use crate::session::Session;

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
/// As they come; kind `Forbidden` in the chain where the credential may not.
pub async fn abort(bucket: &Bucket, upload: &UploadInfo) -> anyhow::Result<()> {
    Ok(bucket.abort(&upload.object.parse()?, &upload.id).await?)
}

/// Cleans up after runs of this host that were killed: their sets have no manifest, so nobody needs
/// what is there of them. A dump cannot be gone on with: its snapshot ended with its run, and so did
/// the key that every object of it is encrypted to. Under the lock, so none of them still runs.
///
/// Returns what could not be cleaned, in words.
///
/// # Errors
/// When the store or the engine does not answer.
pub async fn dead(
    session: &Session,
    docker: &Docker,
    store: &Store,
) -> anyhow::Result<Vec<String>> {
    let mut left = Vec::new();
    let here = store.display();
    // One that cannot be read is begun anew by this run, which says so.
    let begun = Journal::load(&session.root).unwrap_or_default().begun;
    for Begun { set, store: place } in begun {
        throwaway::sweep(docker, &set).await?;
        if place != here {
            continue;
        }
        session.interrupt.check()?;
        match unfinished(store, &set).await {
            Ok(()) => {
                outcome::update(session, |journal| journal.settle(&set));
            }
            Err(error) if may_not_delete(&error) => left.push(format!(
                "a run that was killed left parts of {set}, and this credential may not delete them"
            )),
            Err(error) => return Err(error.context(format!("clean up after {set}"))),
        }
    }
    Ok(left)
}

/// Deletes what is there of a set, unless it is whole.
async fn unfinished(store: &Store, set: &str) -> anyhow::Result<()> {
    let found = store.list(&format!("{set}/")).await?;
    let manifest = format!("{set}/{MANIFEST}");
    if found.iter().any(|found| found.name == manifest) {
        return Ok(());
    }
    for found in found {
        store.delete(&found.name).await?;
    }
    if let Store::Bucket { bucket, prefix } = store {
        let start = format!("{prefix}{set}/");
        for upload in uploads(store, 0).await? {
            if upload.object.starts_with(&start) {
                abort(bucket, &upload).await?;
            }
        }
    }
    Ok(())
}
