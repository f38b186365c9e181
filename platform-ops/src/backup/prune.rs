//! Removes what no rule keeps. The manifest goes first: from then on the set does not exist.

use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use oci::object::UploadInfo;
use serde::Serialize;

use crate::backup::listing::{Listing, Set, set_time};
use crate::backup::manifest::MANIFEST;
use crate::backup::policy::{self, Candidate, Decision, Retention, Verdict};
use crate::backup::store::{Store, may_not_delete};
use crate::backup::sweep;
use crate::failure::Failure;
use crate::plan::{Action, Effect, Plan};
use crate::session::Session;

/// After so many days a lifecycle rule may abort uploads.
const UPLOAD_DAYS: u64 = 2;

/// One thing that goes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Removal {
    /// A set.
    Set {
        /// Its id.
        set: String,
        /// Why.
        reason: String,
        /// Its objects, the manifest first.
        objects: Vec<String>,
        /// Where it is.
        #[serde(skip)]
        store: Arc<Store>,
        /// How long the longest rule keeps a set.
        #[serde(skip)]
        days: u64,
    },
    /// An upload that was never committed.
    Upload {
        /// The object that it would have become.
        object: String,
        /// Its id and where it is.
        #[serde(skip)]
        place: (Arc<Store>, UploadInfo),
    },
}

impl Action for Removal {
    fn summary(&self) -> String {
        match self {
            Self::Set {
                set,
                reason,
                objects,
                ..
            } => {
                format!("delete set {set}: {} objects ({reason})", objects.len())
            }
            Self::Upload { object, .. } => format!("give up the unfinished upload of {object}"),
        }
    }

    fn effect(&self) -> Effect {
        Effect::Destroy
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Set {
                objects,
                store,
                days,
                ..
            } => {
                for object in objects {
                    session.interrupt.check()?;
                    if let Err(error) = store.delete(object).await {
                        return Err(explain(error, store, *days).await);
                    }
                }
                Ok(())
            }
            Self::Upload {
                place: (store, upload),
                ..
            } => match &**store {
                Store::Bucket { bucket, .. } => match sweep::abort(bucket, upload).await {
                    Err(error) => Err(explain(error, store, UPLOAD_DAYS).await),
                    Ok(()) => Ok(()),
                },
                Store::Folder(_) => Ok(()),
            },
        }
    }
}

/// Where the credential may not delete, as it should be on the host that is backed up, a rule of the
/// bucket does: says which, or which there should be.
async fn explain(error: anyhow::Error, store: &Store, days: u64) -> anyhow::Error {
    let Store::Bucket { bucket, prefix } = store else {
        return error;
    };
    if !may_not_delete(&error) {
        return error;
    }
    let rules = bucket.lifecycle().await.unwrap_or_default();
    let rule = rules.iter().find(|rule| rule.deletes(prefix));
    let hint = match rule {
        Some(rule) if rule.days() < days => format!(
            "the bucket's lifecycle rule {:?} deletes after {} days, which is before the longest rule of [retention] ends ({days} days): lengthen it",
            rule.name,
            rule.days()
        ),
        Some(rule) => format!(
            "nothing: the bucket's lifecycle rule {:?} deletes after {} days; or prune from a machine that may",
            rule.name,
            rule.days()
        ),
        None => format!(
            "a lifecycle rule of bucket {} for names that begin with {prefix:?}: action DELETE after {days} days, target objects (none is there, or BUCKET_READ is missing); docs/backup.md has the command; or prune from a machine that may",
            bucket.name()
        ),
    };
    error.context(
        Failure::refused("this credential may not delete, which protects the sets from this host")
            .try_next(hint),
    )
}

/// What would go, and why each set stays.
///
/// # Errors
/// When the store cannot be read.
pub async fn plan(
    store: &Store,
    listing: &Listing,
    retention: Retention,
    now: Timestamp,
) -> anyhow::Result<(Decision, Plan<Removal>)> {
    let candidates: Vec<Candidate> = listing.sets.iter().map(candidate).collect();
    let decision = policy::decide(&candidates, retention);
    let mut plan = Plan::new("backup prune");
    let place = (Arc::new(store.clone()), retention.days());
    let shared = &place.0;
    for (id, verdict) in &decision.verdicts {
        if let Verdict::Remove(reason) = verdict {
            plan.push(removal(listing, &place, id, reason));
        }
    }
    for id in &listing.unfinished {
        let began = set_time(id).context("a set without a time")?;
        if policy::is_given_up(began, now) {
            plan.push(removal(listing, &place, id, "never finished"));
        }
    }
    for upload in sweep::uploads(store, 48).await? {
        plan.push(Removal::Upload {
            object: upload.object.clone(),
            place: (shared.clone(), upload),
        });
    }
    for (id, why) in &listing.broken {
        plan.note(format!("{id} is damaged and left alone: {why}"));
    }
    if let Some(held) = &decision.held {
        plan.note(format!("no set goes: {held}"));
    }
    if !listing.foreign.is_empty() {
        let count = listing.foreign.len();
        plan.note(format!(
            "{count} objects were not made by platform-ops and are left alone"
        ));
    }
    Ok((decision, plan))
}

fn candidate(set: &Set) -> Candidate {
    Candidate {
        id: set.id().to_owned(),
        created: set.manifest.created,
        proven: set.is_proven(),
        system_identifier: set.manifest.cluster.system_identifier.clone(),
        cluster_bytes: set.manifest.cluster.bytes,
    }
}

fn removal(
    listing: &Listing,
    (store, days): &(Arc<Store>, u64),
    id: &str,
    reason: &str,
) -> Removal {
    let all = listing.objects.get(id).into_iter().flatten();
    let mut objects: Vec<String> = all.map(|found| found.name.clone()).collect();
    let manifest = format!("{id}/{MANIFEST}");
    objects.sort_by_key(|name| *name != manifest);
    Removal::Set {
        set: id.to_owned(),
        reason: reason.to_owned(),
        objects,
        store: store.clone(),
        days: *days,
    }
}
