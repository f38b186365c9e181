//! What Docker writes about a container beside its log: `config.v2.json`, `hostconfig.json`.
//!
//! Both are rewritten by temporary file and rename (moby `container/container.go`), so what is
//! read is whole or absent; a daemon crash can still leave an empty one. `Config.Env` holds
//! secrets and is never taken from the file.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use agent_core::ContainerId;
use serde::Deserialize;

/// Largest description that is read, bytes: far beyond any real one.
const DESCRIPTION_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The log driver whose files this agent reads.
pub const JSON_FILE: &str = "json-file";

/// What is known of a container besides its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Name without the leading slash.
    pub name: String,
    /// When it was created, RFC 3339.
    pub created: String,
    /// Base name of the log file that Docker says it writes; empty when it does not say, or says the
    /// usual one, which is `<id>-json.log`.
    pub log_name: String,
    /// What the engine does with the log.
    pub host: HostDescription,
}

/// The part of a description that stands in `hostconfig.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostDescription {
    /// Log driver; empty when the file does not say.
    pub driver: String,
    /// Options of the log driver.
    pub options: BTreeMap<String, String>,
    /// The container and its log are removed when it exits (`docker run --rm`).
    pub auto_remove: bool,
}

/// How a log is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// A file is rotated when it is as long, bytes.
    pub bytes_max: u64,
    /// Files kept, the current one included.
    pub files_max: u32,
}

impl HostDescription {
    /// How json-file rotates (moby `jsonfilelog.go`: `max-size` in units of 1024, `max-file` 1
    /// unless it is said); `None` when it does not.
    pub fn rotation(&self) -> Option<Rotation> {
        let option = |name: &str| self.options.get(name).map(|text| text.trim());
        let bytes_max = option("max-size").and_then(bytes)?;
        let files_max = option("max-file").map_or(Some(1), |files| files.parse().ok())?;
        Some(Rotation {
            bytes_max,
            files_max,
        })
    }
}

/// A size as docker/go-units `RAMInBytes` reads it: "10m", "10mb", "1.5g", "500".
fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = lower.split_at(digits.unwrap_or(lower.len()));
    let unit = unit.trim().trim_end_matches('b').trim_end_matches('i');
    let exponent = ["", "k", "m", "g", "t", "p"]
        .iter()
        .position(|it| *it == unit)?;
    let number: f64 = number.parse().ok()?;
    let bytes = number * 1024f64.powi(i32::try_from(exponent).ok()?);
    (bytes >= 1.0).then_some(bytes as u64)
}

impl Description {
    /// Whether the driver is one whose files can be read. An unknown driver is given the benefit
    /// of the doubt: the folder will show.
    pub fn is_json_file(&self) -> bool {
        self.host.driver.is_empty() || self.host.driver == JSON_FILE
    }
}

/// The first 12 digits of an id, as `docker ps` shows it.
pub fn short_id(id: ContainerId) -> String {
    let mut text = id.to_string();
    text.truncate(12);
    text
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct ConfigFile {
    name: String,
    created: String,
    log_path: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfigFile {
    log_config: LogConfig,
    auto_remove: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct LogConfig {
    #[serde(rename = "Type")]
    driver: String,
    config: Option<BTreeMap<String, String>>,
}

/// Reads the description of the container whose folder this is. `None` while there is none that
/// can be understood; an absent or damaged `hostconfig.json` only leaves its part empty.
pub fn describe(folder: &Path) -> Option<Description> {
    let config: ConfigFile = read_json(&folder.join("config.v2.json"))?;
    if config.name.is_empty() {
        return None;
    }
    let host: HostConfigFile = read_json(&folder.join("hostconfig.json")).unwrap_or_default();
    Some(Description {
        name: config.name.trim_start_matches('/').to_owned(),
        created: config.created,
        log_name: Path::new(&config.log_path)
            .file_name()
            .filter(|name| !is_usual(name, folder))
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        host: HostDescription {
            driver: host.log_config.driver,
            options: host.log_config.config.unwrap_or_default(),
            auto_remove: host.auto_remove,
        },
    })
}

/// Thousands of containers have this one: it need not be kept.
fn is_usual(name: &OsStr, folder: &Path) -> bool {
    let id = folder.file_name().and_then(OsStr::to_str);
    let stem = name
        .to_str()
        .and_then(|name| name.strip_suffix("-json.log"));
    id.is_some() && stem == id
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    let file = std::fs::File::open(path).ok()?;
    let mut bytes = Vec::new();
    let mut limited = std::io::Read::take(file, DESCRIPTION_BYTES_MAX);
    std::io::Read::read_to_end(&mut limited, &mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CONFIG: &str = r#"{"ID":"x","Created":"2026-11-23T17:29:31.764Z","Name":"/web-1",
        "LogPath":"/elsewhere/containers/x/x-json.log","Image":"sha256:0",
        "Config":{"Image":"nginx:1","Env":["PASSWORD=hunter2"],"Labels":{"a":"b"}}}"#;

    #[test]
    fn a_description_is_read_without_its_environment() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.v2.json"), CONFIG).unwrap();
        let host = r#"{"LogConfig":{"Type":"local","Config":{"max-file":"1"}},"AutoRemove":true}"#;
        std::fs::write(folder.path().join("hostconfig.json"), host).unwrap();
        let description = describe(folder.path()).unwrap();
        assert_eq!(description.name, "web-1");
        assert_eq!(description.log_name, "x-json.log");
        assert_eq!(description.host.options["max-file"], "1");
        assert!(description.host.auto_remove && !description.is_json_file());
        assert!(!format!("{description:?}").contains("hunter2"));
    }

    #[test]
    fn a_torn_description_is_none_and_a_missing_host_part_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.v2.json");
        assert_eq!(describe(folder.path()), None);
        std::fs::write(&path, &CONFIG[..40]).unwrap();
        assert_eq!(describe(folder.path()), None);
        std::fs::write(&path, r#"{"Name":"/db","Config":{"Labels":null}}"#).unwrap();
        let description = describe(folder.path()).unwrap();
        assert_eq!(description.name, "db");
        assert!(description.is_json_file());
    }
}
