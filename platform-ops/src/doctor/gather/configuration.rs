//! platform.env and the files derived from it.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::gap;
use crate::doctor::{EnvironmentFacts, Facts, FileFacts};
use crate::environment::{Environment, is_secret};
use crate::file::Access;
use crate::hygiene;
use crate::image::ImageLock;
use crate::rotation::Journal;
use crate::session::Session;
use crate::settings::{REQUIRED, Settings};
use crate::stack;

/// Looks at platform.env; the settings, if it has all that is required.
pub(super) fn gather(session: &Session, facts: &mut Facts) -> Option<Settings> {
    let path = session.root.platform_env();
    let access = match std::fs::metadata(&path) {
        Ok(metadata) => (metadata.permissions().mode() & 0o7777, metadata.uid()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            gap(
                session,
                facts,
                "platform.env",
                &anyhow::anyhow!("needs root"),
            );
            return None;
        }
        Err(error) => {
            let error = Some(error.to_string());
            facts.environment = Some(EnvironmentFacts {
                error,
                ..EnvironmentFacts::default()
            });
            return None;
        }
    };
    let mut seen = EnvironmentFacts {
        access,
        ..EnvironmentFacts::default()
    };
    let settings = match Environment::load(session) {
        Ok(environment) => {
            describe(&environment, &mut seen);
            Settings::of(environment)
                .map_err(|error| seen.error = seen.missing.is_empty().then(|| format!("{error:#}")))
                .ok()
        }
        Err(error) => {
            seen.error = Some(format!("{error:#}"));
            None
        }
    };
    facts.environment = Some(seen);
    match Journal::load(session) {
        Ok(journal) => facts.rotation = journal.map(|journal| journal.key),
        Err(error) => gap(session, facts, "rotation", &error),
    }
    if let Some(settings) = &settings
        && let Err(error) = files(session, settings, facts)
    {
        gap(session, facts, "files", &error);
    }
    settings
}

fn describe(environment: &Environment, seen: &mut EnvironmentFacts) {
    let mut counts = BTreeMap::new();
    for entry in environment.entries() {
        *counts.entry(entry.key.clone()).or_insert(0_usize) += 1;
        let reference = entry
            .literal
            .as_deref()
            .is_some_and(|literal| literal.starts_with("${") && literal.ends_with('}'));
        if !entry.unset.is_empty() || (entry.literal.is_some() && !reference) {
            seen.interpolated
                .push((entry.key.clone(), entry.unset.clone()));
        }
    }
    seen.duplicates = counts
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(key, _)| key)
        .collect();
    seen.missing = REQUIRED
        .into_iter()
        .filter(|key| environment.get(key).is_none())
        .map(str::to_owned)
        .collect();
    seen.secrets = hygiene::faults(environment);
}

/// What on disk is not as platform.env says.
fn files(session: &Session, settings: &Settings, facts: &mut Facts) -> anyhow::Result<()> {
    let pair = |access: Access| (access.mode, access.owner);
    for (path, access) in stack::folders(&session.root).into_iter().skip(1) {
        let found = Access::read(&path).ok();
        if found != Some(access) {
            let difference = if found.is_some() {
                "owner or mode"
            } else {
                "missing"
            };
            facts.files.push(FileFacts {
                path,
                difference: difference.to_owned(),
                wanted: pair(access),
                found: found.map(pair),
            });
        }
    }
    for file in stack::derived(&session.root, settings, &ImageLock::load(session)?)? {
        if let Some(difference) = file.difference()? {
            let found = Access::read(&file.path).ok().map(pair);
            facts.files.push(FileFacts {
                path: file.path,
                difference: difference.to_owned(),
                wanted: pair(file.access),
                found,
            });
        }
    }
    Ok(())
}

/// Secrets that stand in a container's environment, by key and container.
pub(super) fn exposed(settings: &Settings, facts: &mut Facts) {
    let secrets: Vec<(&String, &String)> = settings
        .environment
        .values()
        .iter()
        .filter(|(key, value)| is_secret(key) && value.len() >= 4)
        .collect();
    let mut exposed = Vec::new();
    for container in &facts.neighbours {
        for (key, secret) in &secrets {
            if container
                .env
                .values()
                .any(|value| value.contains(secret.as_str()))
            {
                exposed.push(((*key).clone(), container.name.clone()));
            }
        }
    }
    if let Some(environment) = &mut facts.environment {
        environment.exposed = exposed;
    }
}

/// Files in the agent's folder of credentials.
pub(super) fn credentials(session: &Session) -> Vec<(String, u32)> {
    let entries = std::fs::read_dir(session.root.join("config/agent/oci"))
        .into_iter()
        .flatten()
        .flatten();
    let file = |entry: std::fs::DirEntry| {
        let mode = entry.metadata().ok()?.permissions().mode() & 0o777;
        Some((entry.file_name().to_string_lossy().into_owned(), mode))
    };
    entries.filter_map(file).collect()
}
