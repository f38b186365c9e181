//! Why a file cannot be read, and which right is missing.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::finding::{Finding, Verdict};

/// A finding about a path that the kernel does not let us read.
pub fn denied(
    check: &'static str,
    subject: impl Into<String>,
    path: &Path,
    error: &io::Error,
) -> Finding {
    let subject = subject.into();
    let what = format!("{} cannot be read: {error}", path.display());
    let finding = Finding::new(Verdict::Error, check, subject, what);
    if error.kind() != io::ErrorKind::PermissionDenied {
        return finding
            .seen(context(path, Process::look()))
            .then("look at the disk and at what is mounted there (dmesg, mount)");
    }
    let process = Process::look();
    let next = advice(&process);
    finding.seen(context(path, process)).then(next)
}

/// Who we are, as far as rights go.
#[derive(Clone, Debug, Default)]
pub struct Process {
    uid: u32,
    /// Where uid 0 of our user namespace stands outside; `None` when it is itself.
    remapped: Option<u32>,
    /// Security context, when SELinux enforces.
    selinux: Option<String>,
}

impl Process {
    /// This process.
    pub fn look() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let enforcing = read("/sys/fs/selinux/enforce").trim() == "1";
        Self {
            uid: rustix::process::geteuid().as_raw(),
            remapped: remapped(&read("/proc/self/uid_map")),
            selinux: enforcing.then(|| {
                let context = read("/proc/self/attr/current");
                context.trim_end_matches('\0').trim().to_owned()
            }),
        }
    }
}

/// What uid 0 is outside of the user namespace whose map this is (user_namespaces(7)).
fn remapped(uid_map: &str) -> Option<u32> {
    let mut fields = uid_map.lines().next()?.split_ascii_whitespace();
    let (inside, outside) = (fields.next()?, fields.next()?.parse().ok()?);
    (inside == "0" && outside != 0).then_some(outside)
}

fn advice(process: &Process) -> String {
    if let Some(outside) = process.remapped {
        return format!(
            "uid 0 is {outside} on the host (userns-remap): start the agent's container with \
             --userns=host (compose: userns_mode: host)"
        );
    }
    if process.uid != 0 {
        return "run as uid 0 (compose: user: \"0:0\"; no capability is needed): Docker's files \
                are root's"
            .to_owned();
    }
    if process.selinux.is_some() {
        return "SELinux keeps us out: run the container with --security-opt label=disable, or \
                allow its type to read container_log_t (ausearch -m avc -ts recent)"
            .to_owned();
    }
    "root is refused: look at the owner and mode above, and at AppArmor (dmesg)".to_owned()
}

/// Path by path down to the one that is refused: owner and mode; then who asks.
fn context(path: &Path, process: Process) -> String {
    let mut seen = Vec::new();
    let ancestors: Vec<PathBuf> = path.ancestors().map(Path::to_owned).collect();
    for part in ancestors.iter().rev().skip(1) {
        match std::fs::symlink_metadata(part) {
            Ok(metadata) => seen.push((part.clone(), metadata)),
            Err(_) => break,
        }
    }
    let mut words = match seen.last() {
        Some((last, metadata)) => format!(
            "{} is {}:{} {:04o}, ",
            last.display(),
            metadata.uid(),
            metadata.gid(),
            metadata.mode() & 0o7777
        ),
        None => String::new(),
    };
    words += &format!("we are uid {}", process.uid);
    if let Some(outside) = process.remapped {
        words += &format!(", which is {outside} on the host");
    }
    if let Some(context) = process.selinux {
        words += &format!(", SELinux enforces ({context})");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remapped_root_is_recognised() {
        assert_eq!(remapped("         0          0 4294967295\n"), None);
        assert_eq!(
            remapped("         0     165536      65536\n"),
            Some(165_536)
        );
        assert_eq!(remapped("      1000       1000          1\n"), None);
        assert_eq!(remapped(""), None);
    }

    #[test]
    fn the_missing_right_is_named() {
        let advised = |uid, remapped, selinux: Option<&str>| {
            advice(&Process {
                uid,
                remapped,
                selinux: selinux.map(str::to_owned),
            })
        };
        assert!(advised(1_000, None, None).starts_with("run as uid 0"));
        assert!(advised(0, Some(165_536), None).contains("--userns=host"));
        assert!(advised(0, None, Some("container_t")).contains("label=disable"));
        assert!(advised(0, None, None).contains("AppArmor"));
    }
}
