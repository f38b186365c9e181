//! The exceptions to "everything under the root": files that the host wants elsewhere. Each has a
//! master under `config/host`, so that a backup of the root has them all. The program itself is
//! one too, in /usr/local/bin: SELinux runs nothing under /srv.

use std::path::{Path, PathBuf};

use crate::root::Root;

/// A file outside of the root.
#[derive(Clone, Copy, Debug)]
pub struct HostFile {
    /// Where the host reads it.
    pub path: &'static str,
    /// What it has to be; None where the operator owns it and the master is a copy.
    pub content: Option<&'static str>,
}

/// All of them.
pub const HOST_FILES: [HostFile; 3] = [
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
