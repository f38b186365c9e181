//! The files that Redis starts with change places with others by a rename.

use std::path::Path;

use anyhow::Context as _;
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// What Redis keeps in its folder.
pub const RDB: &str = "dump.rdb";
/// The same, where it keeps an append-only file: then it reads nothing else.
pub const AOF: &str = "appendonlydir";

/// Redis reads one of its files at its start; the exchange of that one decides, and is first.
///
/// # Errors
/// When a file cannot be renamed; those of before are then still in their place, or all new ones that are
/// read.
pub fn exchange_files(
    folder: &Path,
    making: &Path,
    kept: &Path,
    appends: bool,
) -> anyhow::Result<()> {
    let failed = || format!("exchange the files in {}", folder.display());
    // From here on a folder to keep, whatever is in it.
    std::fs::rename(making, kept).with_context(failed)?;
    let files = if appends { [AOF, RDB] } else { [RDB, AOF] };
    for file in files {
        exchange(&folder.join(file), &kept.join(file)).with_context(failed)?;
    }
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(failed)
}

/// Puts `new` in the place of `live`, and the other way round; either may be missing.
fn exchange(live: &Path, new: &Path) -> std::io::Result<()> {
    match (live.exists(), new.exists()) {
        (true, true) => {
            renameat_with(CWD, new, CWD, live, RenameFlags::EXCHANGE)?;
            Ok(())
        }
        (false, true) => std::fs::rename(new, live),
        (true, false) => std::fs::rename(live, new),
        (false, false) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_change_places_and_what_was_there_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (live, making, kept) = (
            folder.path(),
            folder.path().join("restore_1"),
            folder.path().join("before_1"),
        );
        std::fs::create_dir_all(making.join(AOF)).unwrap();
        std::fs::create_dir_all(live.join(AOF)).unwrap();
        std::fs::write(live.join(AOF).join("old"), "").unwrap();
        std::fs::write(making.join(RDB), "new").unwrap();
        exchange_files(live, &making, &kept, true).unwrap();
        assert!(kept.join(AOF).join("old").exists() && !live.join(AOF).join("old").exists());
        assert_eq!(std::fs::read(live.join(RDB)).unwrap(), b"new");
        assert!(!making.exists() && !kept.join(RDB).exists());
    }
}
