//! The machine, its engine and Compose.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::backup::schedule::unit;
use crate::compose::Project;
use crate::crontab;
use crate::disk;
use crate::doctor::{EngineFacts, Facts, HostFacts};
use crate::host_file::{HOST_FILES, HostFile};
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
    let mut host = HostFacts {
        os: (field("ID"), field("VERSION_ID")),
        modules_missing: modules_missing(),
        clock_synchronised: clock(),
        cron_backups: cron(),
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
    let folder = Path::new("/lib/modules").join(release);
    // Without the list nothing can be said.
    let Ok(loadable) = std::fs::read_to_string(folder.join("modules.dep")) else {
        return Vec::new();
    };
    let builtin = std::fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
    let loaded = std::fs::read_to_string("/proc/modules").unwrap_or_default();
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
    files.filter_map(difference).collect()
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

fn cron() -> Vec<String> {
    let lines = crontab::backup_lines(Path::new("/")).into_iter();
    lines.map(|line| line.text).collect()
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
        daemon_json: std::fs::read_to_string(DAEMON_JSON)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok()),
    })
}
