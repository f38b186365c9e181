//! The exceptions to "everything under the root": files that the host wants elsewhere. Each has a
//! master under `config/host`, so that a backup of the root has them all. The program itself is
//! one, too: whoever rebuilds the host finds the one that made the backup in it.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::file::{self, Access};
use crate::root::Root;

/// Where this program is installed: SELinux runs nothing under /srv.
pub const PROGRAM: &str = "/usr/local/bin/platform-ops";
/// What is running now, also where its file was replaced meanwhile.
const RUNNING: &str = "/proc/self/exe";
/// As it is installed.
pub const PROGRAM_ACCESS: Access = Access::root(0o755);

/// A file outside of the root.
#[derive(Clone, Copy, Debug)]
pub struct HostFile {
    /// Where the host reads it.
    pub path: &'static str,
    /// What it has to be; None where the operator owns it and the master is a copy.
    pub content: Option<&'static str>,
}

/// All of them.
pub const HOST_FILES: [HostFile; 5] = [
    HostFile {
        path: "/etc/systemd/system/platform-ops-doctor.service",
        content: Some(include_str!(
            "../../deploy/host/platform-ops-doctor.service"
        )),
    },
    HostFile {
        path: "/etc/systemd/system/platform-ops-doctor.timer",
        content: Some(include_str!("../../deploy/host/platform-ops-doctor.timer")),
    },
    // Never written by this program, and the engine never restarted.
    HostFile {
        path: "/etc/docker/daemon.json",
        content: None,
    },
    // By hand, as deploy/oci says.
    HostFile {
        path: "/etc/systemd/system/metadata-firewall.service",
        content: None,
    },
    HostFile {
        path: "/usr/local/sbin/metadata-firewall",
        content: None,
    },
];

impl HostFile {
    /// Where its master is.
    pub fn master(self, root: &Root) -> PathBuf {
        let name = Path::new(self.path).file_name().unwrap_or_default();
        root.host_masters().join(name)
    }

    /// What the master has to hold; None where there is nothing to keep.
    pub fn wanted(self) -> Option<String> {
        self.content
            .map(str::to_owned)
            .or_else(|| std::fs::read_to_string(self.path).ok())
    }
}

/// Where the program's master is.
pub fn program_master(root: &Root) -> PathBuf {
    root.host_masters().join("platform-ops")
}

/// How the master differs from the program that runs, in a word. None when it does not, and for a
/// program that is not the installed one.
///
/// # Errors
/// When one of them cannot be read.
pub fn program_difference(root: &Root) -> anyhow::Result<Option<&'static str>> {
    if !std::fs::read_link(RUNNING).is_ok_and(|path| path == Path::new(PROGRAM)) {
        return Ok(None);
    }
    let master = program_master(root);
    let failed = || format!("compare {} with this program", master.display());
    match is_same(&master, Path::new(RUNNING)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some("missing")),
        Err(error) => Err(error).with_context(failed),
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some("another version")),
    }
}

/// Makes the program that runs its own master.
///
/// # Errors
/// When it cannot be read or written.
pub fn keep_program(root: &Root) -> anyhow::Result<()> {
    let program = std::fs::read(RUNNING).context("read this program")?;
    file::replace(&program_master(root), &program, PROGRAM_ACCESS)
}

/// How the installed program differs from its master, in a word; None when it does not, or where
/// neither can be seen.
pub fn installed_difference(root: &Root) -> Option<&'static str> {
    let (master, installed) = (program_master(root), Path::new(PROGRAM));
    match (master.is_file(), installed.is_file()) {
        (true, true) => is_same(&master, installed)
            .is_ok_and(|is_same| !is_same)
            .then_some("differs"),
        (true, false) => Some("missing"),
        (false, true) if root.host_masters().is_dir() => Some("unkept"),
        (false, _) => None,
    }
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let length = |path| std::fs::metadata(path).map(|metadata| metadata.len());
    if length(one)? != length(other)? {
        return Ok(false);
    }
    Ok(std::fs::read(one)? == std::fs::read(other)?)
}
