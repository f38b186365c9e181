//! Applications: the stacks under `apps/`, each with its own compose file and `.env`.

use std::path::PathBuf;

use crate::compose::{self, Project};
use crate::failure::Failure;
use crate::session::Session;

/// The folder of an application that has a compose file.
///
/// # Errors
/// When there is none of this name; says which there are.
pub fn folder(session: &Session, name: &str) -> anyhow::Result<PathBuf> {
    let plain = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    let folder = session.root.apps().join(name);
    if plain && compose::file_in(&folder).is_some() {
        return Ok(folder);
    }
    let known = folders(session)?
        .into_iter()
        .map(|(name, _)| name)
        .collect::<Vec<_>>()
        .join(", ");
    let what = format!(
        "there is no application {name}: no compose file in {}",
        folder.display()
    );
    Err(Failure::usage(what)
        .try_next(format!("one of: {known}"))
        .into())
}

/// Name and folder of each application.
///
/// # Errors
/// When the folder of all of them cannot be read to its end.
pub fn folders(session: &Session) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let Ok(entries) = std::fs::read_dir(session.root.apps()) else {
        return Ok(Vec::new());
    };
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path != session.root.stack()
            && compose::file_in(&path).is_some()
            && let Some(name) = path.file_name()
        {
            folders.push((name.to_string_lossy().into_owned(), path));
        }
    }
    folders.sort();
    Ok(folders)
}

/// What Compose reads variables from: the application's own file, then platform.env. The later one
/// wins, and may refer to the earlier one.
pub fn env_files(session: &Session, folder: &std::path::Path) -> Vec<PathBuf> {
    let own = folder.join(".env");
    let own = own.is_file().then_some(own);
    own.into_iter()
        .chain([session.root.platform_env()])
        .collect()
}

/// The compose project of an application's folder.
pub fn project(session: &Session, folder: PathBuf) -> Project {
    let env_files = env_files(session, &folder);
    Project::new(folder, env_files)
}
