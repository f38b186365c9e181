//! Docker's folder of containers.

use std::io;
use std::path::{Path, PathBuf};

use super::finding::{Finding, Report, Verdict};
use super::right;
use crate::config::Config;
use crate::host;

const CHECK: &str = "containers folder";

/// Whether the folder can be read.
pub fn check(config: &Config, report: &mut Report) -> bool {
    let dir = &config.source.containers_dir;
    let shown = dir.display().to_string();
    let error = match std::fs::read_dir(dir) {
        Ok(entries) => {
            let count = entries.filter(Result::is_ok).count();
            report.add(Finding::new(
                Verdict::Ok,
                CHECK,
                shown,
                format!("can be read, entries: {count}"),
            ));
            return true;
        }
        Err(error) => error,
    };
    let finding = match error.kind() {
        io::ErrorKind::NotFound => missing(dir),
        io::ErrorKind::NotADirectory => {
            Finding::new(Verdict::Error, CHECK, shown, "is not a folder")
                .then("set source.containers_dir to <data-root>/containers")
        }
        _ => right::denied(CHECK, shown, dir, &error),
    };
    report.add(finding);
    false
}

fn missing(dir: &Path) -> Finding {
    let finding = Finding::new(
        Verdict::Error,
        CHECK,
        dir.display().to_string(),
        "does not exist",
    );
    if let Some(found) = elsewhere(dir) {
        return finding
            .seen(format!("{} exists", found.display()))
            .then(format!(
                "set source.containers_dir to {} (data-root or userns-remap moved it)",
                found.display()
            ));
    }
    if host::own_container().is_some() {
        return finding
            .seen("we run in a container, and nothing is mounted there")
            .then(format!(
                "mount it read-only: --volume {0}:{0}:ro",
                dir.display()
            ));
    }
    finding.then(
        "is Docker installed? `docker info -f '{{.DockerRootDir}}'` names the data root; \
         containers_dir is its folder `containers`",
    )
}

/// Where else the folder may be: with userns-remap below `<data-root>/<uid>.<gid>`, with a
/// `data-root` of its own where the daemon's configuration says.
fn elsewhere(dir: &Path) -> Option<PathBuf> {
    let root = dir.parent()?;
    let remapped = std::fs::read_dir(root).ok().and_then(|entries| {
        entries
            .flatten()
            .filter(|entry| is_remapped_root(&entry.file_name().to_string_lossy()))
            .map(|entry| entry.path().join("containers"))
            .find(|path| path.is_dir())
    });
    remapped.or_else(|| {
        let text = std::fs::read_to_string("/etc/docker/daemon.json").ok()?;
        let daemon: serde_json::Value = serde_json::from_str(&text).ok()?;
        let root = daemon.get("data-root").or_else(|| daemon.get("graph"))?;
        let found = Path::new(root.as_str()?).join("containers");
        (found != dir && found.is_dir()).then_some(found)
    })
}

fn is_remapped_root(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.split_once('.')
        .is_some_and(|(uid, gid)| digits(uid) && digits(gid))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_remapped_data_root_is_found() {
        let root = tempfile::tempdir().unwrap();
        let wanted = root.path().join("165536.165536/containers");
        let dir = root.path().join("containers");
        std::fs::create_dir(root.path().join("image.1")).unwrap();
        assert_eq!(
            elsewhere(&dir).filter(|at| at.starts_with(root.path())),
            None
        );
        std::fs::create_dir_all(&wanted).unwrap();
        assert_eq!(elsewhere(&dir), Some(wanted));
    }
}
