//! Who else can read a file that holds a secret.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::config::{ConfigSource, KEY_FILE, Profile, SECURITY_TOKEN_FILE};

/// The CLI's switch for the same warning.
const SUPPRESS: &str = "OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING";
const OTHERS: u32 = 0o077;

/// A line for each of the profile's files that others than its owner can use. What cannot be read
/// at all is somebody else's error.
pub(crate) fn warnings(source: &ConfigSource) -> Vec<String> {
    if source.environment.is_true(SUPPRESS) {
        return Vec::new();
    }
    let Ok(profile) = Profile::load(source) else {
        return Vec::new();
    };
    let named = [KEY_FILE, SECURITY_TOKEN_FILE]
        .into_iter()
        .filter_map(|key| profile.get(key));
    let mut paths: Vec<PathBuf> = named
        .map(|setting| source.environment.expand(&setting.value))
        .collect();
    paths.insert(0, profile.path().to_owned());
    paths.iter().filter_map(|path| warning(path)).collect()
}

fn warning(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.mode() & 0o7777;
    (mode & OTHERS != 0).then(|| {
        format!(
            "{0} can be used by others (mode {mode:03o}): chmod 600 {0}",
            path.display()
        )
    })
}
