//! Compares every byte of a set.

use crate::backup::key::Identities;
use crate::backup::listing::{Set, is_about_set};
use crate::backup::manifest::{MANIFEST, MANIFEST_SUM};
use crate::backup::open::Opener;
use crate::backup::progress::Progress;
use crate::backup::store::Store;
use crate::interrupt::Interrupt;

/// What was found.
#[derive(Debug, Default, serde::Serialize)]
pub struct Report {
    /// The set.
    pub set: String,
    /// Objects that were compared.
    pub objects: usize,
    /// Their stored bytes.
    pub bytes: u64,
    /// Whether what is inside was compared as well.
    pub opened: bool,
    /// What is wrong.
    pub faults: Vec<String>,
    /// Objects that the manifest does not name.
    pub unknown: Vec<String>,
}

/// Compares everything, and goes on after a fault: all of them are named.
///
/// # Errors
/// When the store cannot be read at all.
pub async fn verify(
    store: &Store,
    set: &Set,
    identities: &Identities,
    progress: &Progress,
    interrupt: &Interrupt,
) -> anyhow::Result<Report> {
    let manifest = &set.manifest;
    let mut report = Report {
        set: set.id().to_owned(),
        opened: manifest.encryption.is_none() || !identities.is_empty(),
        ..Report::default()
    };
    let opener = Opener {
        store,
        manifest,
        identities,
        progress,
    };
    for object in &manifest.objects {
        interrupt.check()?;
        match opener.check(object).await {
            Ok(()) => {
                report.objects += 1;
                report.bytes += object.bytes;
            }
            Err(error) if is_about_set(&error) => report.faults.push(format!("{error:#}")),
            Err(error) => return Err(error),
        }
    }
    let prefix = format!("{}/", set.id());
    for found in store.list(&prefix).await? {
        let name = found.name.strip_prefix(&prefix).unwrap_or(&found.name);
        let known = manifest.objects.iter().any(|object| object.name == name);
        let own = matches!(name, MANIFEST | MANIFEST_SUM) || name.starts_with("proofs/");
        if !known && !own {
            report.unknown.push(found.name);
        }
    }
    Ok(report)
}
