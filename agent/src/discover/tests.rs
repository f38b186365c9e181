#![allow(clippy::unwrap_used)]
use std::fs;

use super::*;
use crate::config;

const START: Duration = Duration::ZERO;

fn id(byte: u8) -> ContainerId {
    ContainerId([byte; 32])
}

fn source(root: &Path) -> Source {
    let setting = |key: &str, value: &str| (format!("PLATFORM_AGENT_{key}"), value.to_owned());
    let environment = [
        setting("LOGGING__LOG_ID", "ocid1.log.oc1..x"),
        setting("SOURCE__CONTAINERS_DIR", root.to_str().unwrap()),
        setting("SOURCE__EXCLUDE", "db-*"),
    ];
    config::load(None, environment.into_iter()).unwrap().source
}

fn make(root: &Path, id: ContainerId, config: &str, host: &str) {
    let folder = root.join(id.to_string());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.v2.json"), config).unwrap();
    fs::write(folder.join("hostconfig.json"), host).unwrap();
}

#[test]
fn t32_t34_containers_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let json_file = r#"{"LogConfig":{"Type":"json-file"}}"#;
    make(root.path(), id(1), r#"{"Name":"/web"}"#, json_file);
    make(root.path(), id(2), r#"{"Name":"/db-1"}"#, json_file);
    make(root.path(), id(3), r#"{"Name":"/agent"}"#, json_file);
    make(
        root.path(),
        id(4),
        r#"{"Name":"/odd"}"#,
        r#"{"LogConfig":{"Type":"local"}}"#,
    );
    fs::create_dir(root.path().join("not-a-container")).unwrap();
    fs::write(root.path().join(id(5).to_string()), b"a file").unwrap();
    let mut discovery = Discovery::new(&source(root.path()), Some(id(3)));
    let change = discovery.scan(START).unwrap();
    assert_eq!(change.appeared, [id(1), id(2), id(3), id(4)]);
    let standings: Vec<_> = change
        .appeared
        .iter()
        .map(
            |id| match &discovery.describe(*id, START).unwrap().standing {
                Standing::LeftOut(why) => why.to_string(),
                other => format!("{other:?}"),
            },
        )
        .collect();
    let expected = [
        "Followed",
        "left out by source.include and source.exclude",
        "the agent's own container",
        "not readable: driver=local",
    ];
    assert_eq!(standings, expected);
    fs::remove_dir_all(root.path().join(id(1).to_string())).unwrap();
    let change = discovery.scan(START).unwrap();
    assert_eq!(
        change,
        Change {
            appeared: vec![],
            gone: vec![id(1)]
        }
    );
    // What is left of its log is shipped under its name.
    let container = discovery.container(id(1));
    assert!(container.removed && container.name == "web");
    discovery.keep_departed(|_| false);
    assert_eq!(discovery.container(id(1)).name, "010101010101");
}

#[test]
fn t33_a_description_is_waited_for_and_then_done_without() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join(id(1).to_string());
    fs::create_dir(&folder).unwrap();
    let mut discovery = Discovery::new(&source(root.path()), None);
    discovery.scan(START).unwrap();
    let standing = |discovery: &mut Discovery, at: Duration| {
        discovery.describe(id(1), at).unwrap().standing.clone()
    };
    assert_eq!(standing(&mut discovery, START), Standing::Undescribed);
    assert_eq!(
        standing(&mut discovery, DESCRIPTION_PATIENCE),
        Standing::Followed
    );
    assert_eq!(discovery.container(id(1)).name, "010101010101");
    make(
        root.path(),
        id(1),
        r#"{"Name":"/late","Created":"2026-11-23T00:00:00Z"}"#,
        "{}",
    );
    assert_eq!(
        standing(&mut discovery, DESCRIPTION_PATIENCE),
        Standing::Followed
    );
    let container = discovery.container(id(1));
    assert_eq!(
        (container.name.as_str(), container.removed),
        ("late", false)
    );
    assert_eq!(container.created, "2026-11-23T00:00:00Z");
}

#[test]
fn a_log_path_counts_only_where_there_is_such_a_file() {
    let root = tempfile::tempdir().unwrap();
    let config = r#"{"Name":"/web","LogPath":"/old/root/special.log"}"#;
    make(root.path(), id(1), config, "{}");
    let mut discovery = Discovery::new(&source(root.path()), None);
    discovery.scan(START).unwrap();
    discovery.describe(id(1), START);
    assert_eq!(discovery.log_name(id(1)), format!("{}-json.log", id(1)));
    fs::write(discovery.folder(id(1)).join("special.log"), b"").unwrap();
    assert_eq!(discovery.log_name(id(1)), "special.log");
}

#[test]
fn a_missing_folder_is_an_error_and_forgets_nothing() {
    let root = tempfile::tempdir().unwrap();
    make(root.path(), id(1), r#"{"Name":"/web"}"#, "{}");
    let mut discovery = Discovery::new(&source(root.path()), None);
    discovery.scan(START).unwrap();
    fs::remove_dir_all(root.path()).unwrap();
    assert!(discovery.scan(START).is_err());
    assert!(discovery.known.contains_key(&id(1)));
}
