//! What this host is called, and which container the agent itself runs in.

use std::path::Path;

use agent_core::ContainerId;

use crate::config::Source;

/// The host's name and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName {
    /// The name.
    pub name: String,
    /// Where it comes from, for people.
    pub origin: String,
}

impl HostName {
    /// The name is a container's short id: new at each recreation, so of no use as `source`.
    pub fn is_container_id(&self) -> bool {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        self.name.len() == 12 && self.name.bytes().all(hex)
    }
}

/// The name that goes into `source`: configured, else from the mounted file, else the kernel's.
pub fn name(source: &Source) -> HostName {
    if let Some(name) = &source.host {
        return HostName {
            name: name.clone(),
            origin: "source.host".to_owned(),
        };
    }
    if let Some(path) = &source.host_file
        && let Some(name) = first_line(path)
    {
        return HostName {
            name,
            origin: path.display().to_string(),
        };
    }
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    HostName {
        name,
        origin: "the kernel".to_owned(),
    }
}

fn first_line(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// The container this process runs in, if any.
pub fn own_container() -> Option<ContainerId> {
    own_container_in(&std::fs::read_to_string("/proc/self/mountinfo").ok()?)
}

/// Docker mounts these three from the container's own folder (proc(5): the fourth field is the
/// folder within the file system, the fifth where it is mounted). Mounts of other containers show
/// up on a host, too, but never at these places.
fn own_container_in(mountinfo: &str) -> Option<ContainerId> {
    mountinfo.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        if !["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"].contains(&place) {
            return None;
        }
        let (_, rest) = root.split_once("/containers/")?;
        ContainerId::from_hex(rest.split('/').next()?)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_own_container_is_told_from_its_mounts() {
        let id = "4f".repeat(32);
        let other = "aa".repeat(32);
        let text = format!(
            "30 1 254:1 / / rw - ext4 /dev/vda rw\n\
             31 30 0:50 / /var/lib/docker/containers/{other}/mounts/shm rw - tmpfs shm rw\n\
             32 30 254:1 /var/lib/docker/containers /var/lib/docker/containers ro - ext4 x rw\n\
             33 30 254:1 /var/lib/docker/containers/{id}/hosts /etc/hosts rw - ext4 x rw\n"
        );
        assert_eq!(own_container_in(&text), ContainerId::from_hex(&id));
        let host: String = text
            .lines()
            .take(3)
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(own_container_in(&host), None);
    }

    #[test]
    fn twelve_hex_digits_are_no_host() {
        let host = |name: &str| HostName {
            name: name.to_owned(),
            origin: String::new(),
        };
        assert!(host("0123456789ab").is_container_id());
        assert!(!host("app-host-001").is_container_id());
        assert!(!host("0123456789").is_container_id());
    }
}
