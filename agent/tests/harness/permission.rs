//! Files that are refused, and an agent that can be refused them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The wrapper that makes root one whom permissions hold back, as in the deployed container.
pub fn without_capabilities() -> &'static [&'static str] {
    match rustix::process::geteuid().is_root() {
        true => &["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"],
        false => &[],
    }
}

/// chmod
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
