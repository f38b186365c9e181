//! Files that are replaced as a whole or not at all.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

/// Who may do what with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// Owner; its group has the same number.
    pub owner: u32,
}

impl Access {
    /// Root's.
    pub const fn root(mode: u32) -> Self {
        Self { mode, owner: 0 }
    }

    /// Another user's.
    pub const fn of(owner: u32, mode: u32) -> Self {
        Self { mode, owner }
    }

    /// Of a file that is there.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn read(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self {
            mode: metadata.permissions().mode() & 0o7777,
            owner: metadata.uid(),
        })
    }

    /// As `600 uid 0`.
    pub fn text(self) -> String {
        format!("{:03o} uid {}", self.mode, self.owner)
    }
}

/// Replaces a file: written beside it, made durable, then renamed over it.
///
/// # Errors
/// Names the file; the old one is then still there.
pub fn replace(path: &Path, content: &[u8], access: Access) -> anyhow::Result<()> {
    let failed = || format!("write {}", path.display());
    let folder = path.parent().with_context(failed)?;
    let name = path.file_name().with_context(failed)?.to_string_lossy();
    let temporary = folder.join(format!(".{name}.new"));
    let write = || -> io::Result<()> {
        // Left over by a run that was killed.
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(content)?;
        fchown(&file, Some(access.owner), Some(access.owner))?;
        file.set_permissions(Permissions::from_mode(access.mode))?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    };
    write().with_context(failed)
}

/// Makes a folder, or gives one that is there its owner and mode.
///
/// # Errors
/// Names the folder.
pub fn folder(path: &Path, access: Access) -> anyhow::Result<()> {
    let make = || -> io::Result<()> {
        std::fs::create_dir_all(path)?;
        std::os::unix::fs::chown(path, Some(access.owner), Some(access.owner))?;
        std::fs::set_permissions(path, Permissions::from_mode(access.mode))
    };
    make().with_context(|| format!("make folder {}", path.display()))
}
