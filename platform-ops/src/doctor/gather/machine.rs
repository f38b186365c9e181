//! The machine, its engine and Compose.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::backup::schedule::unit;
use crate::compose::Project;
use crate::crontab;
use crate::disk;
use crate::doctor::{EngineFacts, Facts, HostFacts, SelinuxFacts};
use crate::host_file::{self, HOST_FILES, HostFile, PROGRAM};
use crate::session::Session;

/// Docker's rules for published ports use it; EL10 has it in a package that nothing pulls in.
const MODULES: [&str; 1] = ["xt_addrtype"];
const DAEMON_JSON: &str = "/etc/docker/daemon.json";

pub(super) fn host(session: &Session) -> HostFacts {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let value = release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches('"').to_owned()
    };
    let texts = |lines: Vec<crontab::Line>| lines.into_iter().map(|line| line.text).collect();
    let mut host = HostFacts {
        os: (field("ID"), field("VERSION_ID")),
        modules_missing: modules_missing(),
        clock_synchronised: clock(),
        cron_backups: texts(crontab::backup_lines(Path::new("/"))),
        cron_prunes: texts(crontab::prune_lines(Path::new("/"))),
        selinux: selinux(),
        memory_bytes: memory(),
        files: files(session),
        ..HostFacts::default()
    };
    if let Ok(room) = disk::room(session.root.path()) {
        host.disks
            .insert(session.root.path().display().to_string(), room);
    }
    host
}

/// Adds the disk of the engine's own folder, where logs and images lie.
pub(super) fn data_root(engine: &EngineFacts, facts: &mut Facts) {
    if let Ok(room) = disk::room(&engine.data_root) {
        facts
            .host
            .disks
            .insert(engine.data_root.display().to_string(), room);
    }
}

/// What the running kernel neither holds, nor has loaded, nor could load.
fn modules_missing() -> Vec<String> {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let loaded = std::fs::read_to_string("/proc/modules").unwrap_or_default();
    modules_missing_in(&Path::new("/lib/modules").join(release), &loaded)
}

fn modules_missing_in(folder: &Path, loaded: &str) -> Vec<String> {
    // Without the list nothing can be said.
    let Ok(loadable) = std::fs::read_to_string(folder.join("modules.dep")) else {
        return Vec::new();
    };
    let builtin = std::fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
    let has = |name: &&str| {
        let file = format!("/{name}.ko");
        loadable.contains(&file)
            || builtin.contains(&file)
            || loaded
                .lines()
                .any(|line| line.split(' ').next() == Some(name))
    };
    MODULES
        .into_iter()
        .filter(|name| !has(name))
        .map(str::to_owned)
        .collect()
}

/// SELinux, where it is enforcing. Whether the engine uses it is not known here yet.
fn selinux() -> Option<SelinuxFacts> {
    let enforce = std::fs::read_to_string("/sys/fs/selinux/enforce").ok()?;
    (enforce.trim() == "1").then(|| SelinuxFacts {
        program: std::env::current_exe().unwrap_or_default(),
        ..SelinuxFacts::default()
    })
}

/// Labels of what the platform's containers mount, where the engine confines them by label.
pub(super) fn labels(facts: &mut Facts) {
    let (Some(selinux), Some(engine)) = (&mut facts.host.selinux, &facts.engine) else {
        return;
    };
    selinux.is_used_by_engine = engine.is_selinux;
    if !engine.is_selinux {
        return;
    }
    let confined = facts.containers.values().flatten().filter(|container| {
        let options = &container.security_options;
        !container.privileged && !options.iter().any(|option| option.contains("disable"))
    });
    let mounts = confined.flat_map(|container| &container.mounts);
    for mount in mounts.filter(|mount| mount.kind == "bind") {
        let mut label = [0; 256];
        let Ok(bytes) = rustix::fs::getxattr(&*mount.source, "security.selinux", &mut label[..])
        else {
            continue;
        };
        let label = String::from_utf8_lossy(&label[..bytes]);
        let label = label.trim_end_matches('\0');
        if !label.contains(":container_file_t:") {
            let folder = (mount.source.clone().into(), label.to_owned());
            selinux.unlabelled.push(folder);
        }
    }
}

/// All of it, and what is to be had.
fn memory() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib << 10)
    };
    let bytes = |name| field(name).unwrap_or(0);
    (bytes("MemTotal:"), bytes("MemAvailable:"))
}

/// Files outside of the root that are not as their masters say.
fn files(session: &Session) -> Vec<(String, String)> {
    let difference = |file: &HostFile| {
        let master = std::fs::read_to_string(file.master(&session.root)).ok()?;
        match std::fs::read_to_string(file.path) {
            Ok(text) if text == master => None,
            Ok(_) => Some((file.path.to_owned(), "differs".to_owned())),
            Err(_) => Some((file.path.to_owned(), "missing".to_owned())),
        }
    };
    let files = HOST_FILES.iter().chain(&unit::FILES);
    let program = host_file::installed_difference(&session.root);
    let program = program.map(|difference| (PROGRAM.to_owned(), difference.to_owned()));
    files.filter_map(difference).chain(program).collect()
}

fn clock() -> Option<bool> {
    let output = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .output()
        .ok()?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

pub(super) async fn compose(session: &Session, facts: &mut Facts) {
    let project = Project::new("/".into(), Vec::new());
    facts.compose_version = project
        .output(session, &["version", "--short"])
        .await
        .ok()
        .map(|text| text.trim().to_owned());
}

pub(super) async fn engine(session: &Session) -> anyhow::Result<EngineFacts> {
    let docker = session.engine().await?.docker();
    let info = serde_json::to_value(
        docker
            .info()
            .await
            .context("ask the engine for its state")?,
    )?;
    let version = serde_json::to_value(
        docker
            .version()
            .await
            .context("ask the engine for its version")?,
    )?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let components = version["Components"].as_array().into_iter().flatten();
    Ok(EngineFacts {
        version: text(&version["Version"]),
        api_version: text(&version["ApiVersion"]),
        components: components
            .map(|component| text(&component["Name"]))
            .collect(),
        architecture: text(&info["Architecture"]),
        log_driver: text(&info["LoggingDriver"]),
        data_root: text(&info["DockerRootDir"]).into(),
        is_selinux: info["SecurityOptions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|option| text(option).contains("name=selinux")),
        daemon_json: std::fs::read_to_string(DAEMON_JSON)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn t57_a_kernel_without_the_module_of_dockers_rules_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let missing = |loaded| modules_missing_in(folder.path(), loaded);
        let dep = |text| std::fs::write(folder.path().join("modules.dep"), text).unwrap();
        assert!(missing("").is_empty(), "without a list nothing is known");
        dep("kernel/net/ipv4/netfilter/ip_tables.ko.xz:\n");
        assert_eq!(missing(""), ["xt_addrtype"]);
        assert!(missing("xt_addrtype 16384 2 - Live 0x0\n").is_empty());
        dep("kernel/net/netfilter/xt_addrtype.ko.xz: kernel/net/netfilter/x_tables.ko.xz\n");
        assert!(missing("").is_empty());
    }
}
