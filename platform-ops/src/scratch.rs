//! A private folder that goes away with its owner.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The folder, mode 700.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one.
    ///
    /// # Errors
    /// When the system gives no random bytes or no folder.
    pub fn new() -> io::Result<Self> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let path =
            std::env::temp_dir().join(format!("platform-ops-{:016x}", u64::from_le_bytes(bytes)));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Writes a file of mode 600 below it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, relative: &Path, content: &str) -> io::Result<PathBuf> {
        let path = self.0.join(relative);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(content.as_bytes())?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left lies in a private folder of the temporary ones.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
