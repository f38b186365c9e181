#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::layer::{Layers, Typed};
use super::resolve::Resolver;
use super::*;

const LOG_ID: &str = "[logging]\nlog_id = \"ocid1.log.oc1.iad.x\"\n";

fn load_text(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.toml");
    std::fs::write(&path, text).unwrap();
    let variables = environment
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    load(Some(&path), variables)
}

fn problems(text: &str) -> Vec<String> {
    let shown = |problem: Problem| match problem.origin {
        Origin::File(_, line) => format!("{line}: {}: {}", problem.path, problem.text),
        _ => format!("{}: {}", problem.path, problem.text),
    };
    load_text(text, &[])
        .unwrap_err()
        .problems
        .into_iter()
        .map(shown)
        .collect()
}

#[test]
fn the_defaults_need_only_a_log_id() {
    assert_eq!(problems(""), ["logging.log_id: is required"]);
    let config = load_text(LOG_ID, &[]).unwrap();
    assert_eq!(
        config.source.containers_dir,
        Path::new("/var/lib/docker/containers")
    );
    assert_eq!(
        config.source.start_at,
        StartAt::Ago(Duration::from_secs(86_400))
    );
    assert_eq!(config.batch.bytes_max, 4 << 20);
    assert_eq!(
        config.admin.socket.unwrap(),
        Path::new("/var/lib/platform-agent/admin.sock")
    );
    assert_eq!(config.admin.listen, None);
    assert_eq!(config.grace, Duration::from_secs(8));
    assert_eq!(config.send.bytes_per_second_max, 0);
}

/// Keys of default.toml, those that are commented out (`# key = …`) included.
fn documented() -> BTreeSet<(String, String)> {
    let mut table = String::new();
    let mut keys = BTreeSet::new();
    for line in DEFAULT_TOML.lines() {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_end_matches(']').to_owned();
        }
        let line = line.strip_prefix("# ").unwrap_or(line);
        let Some((key, _)) = line.split_once(" = ") else {
            continue;
        };
        if key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            keys.insert((table.clone(), key.to_owned()));
        }
    }
    keys
}

#[test]
fn default_toml_documents_exactly_the_keys_there_are() {
    let mut resolver = Resolver::new(Layers::default());
    table::config(&mut resolver);
    assert_eq!(*resolver.asked(), documented());
}

#[test]
fn default_toml_alone_is_sound() {
    let mut layers = Layers::default();
    layers.lay_toml(None, DEFAULT_TOML);
    assert_eq!(layers.problems, []);
    assert!(
        !layers
            .settings
            .values()
            .any(|setting| matches!(setting.typed, Typed::Other(_)))
    );
}

#[test]
fn every_wrong_key_is_told_at_once_with_its_line() {
    let text = "stray = 1\n[source]\nincluded = [\"*\"]\nstart_at = \"yesterday\"\n\
                exclude = [\"[\"]\n[batch]\nmax_bytes = \"10GiB\"\n[nothing]\nhere = 1\n";
    insta::assert_snapshot!(problems(text).join("\n"), @r#"
    1: stray: stands outside of any [table]
    5: source.exclude: glob `[`: unclosed character class at byte 0; missing ']' (to match a literal '[', escape it as '\[' or '[[]')
    4: source.start_at: `yesterday` is neither a duration ("24h"), "beginning", "end" nor a time ("2026-11-23T00:00:00Z")
    logging.log_id: is required
    7: batch.max_bytes: is 10.0 GiB, at most 9.0 MiB is possible
    9: nothing.here: unknown table
    3: source.included: unknown key; did you mean `source.include`?
    "#);
}

#[test]
fn a_file_that_is_no_toml_is_told_with_the_line() {
    let found = problems("[logging]\nlog_id = \"unfinished\n");
    assert!(found[0].starts_with("2: syntax: "), "{found:?}");
}

#[test]
fn the_environment_wins_over_the_file() {
    let environment = [
        ("PLATFORM_AGENT_SOURCE__EXCLUDE", "db-*, cache"),
        ("PLATFORM_AGENT_SEND__MAX_IN_FLIGHT", "2"),
        ("PLATFORM_AGENT_ADMIN__SOCKET", ""),
        ("PLATFORM_AGENT_SOURCE__NANOSECONDS", "true"),
        ("PLATFORM_AGENT_CONFIG", "not a key"),
    ];
    let text = format!("{LOG_ID}[send]\nmax_in_flight = 7\n");
    let config = load_text(&text, &environment).unwrap();
    assert_eq!(config.send.in_flight_max, 2);
    assert_eq!(config.admin.socket, None);
    assert!(config.source.nanoseconds);
    assert!(config.source.filter.admits("web"));
    assert!(!config.source.filter.admits("db-1"));
    assert!(!config.source.filter.admits("cache"));
}

#[test]
fn globs_are_those_that_the_default_file_names() {
    let source =
        "[source]\ninclude = [\"{web,api}-*\", \"db-[12]\", \"c?\"]\nexclude = [\"*-x\"]\n";
    let config = load_text(&format!("{LOG_ID}{source}"), &[]).unwrap();
    let admits = |name: &str| config.source.filter.admits(name);
    for name in ["web-1", "api-", "db-2", "c1"] {
        assert!(admits(name), "{name}");
    }
    for name in ["web", "api-x", "db-3", "db-12", "c", "c12"] {
        assert!(!admits(name), "{name}");
    }
    let found = problems(&format!("{LOG_ID}[source]\ninclude = [\"!web\"]\n"));
    assert!(found[0].contains("source.exclude"), "{found:?}");
}

#[test]
fn an_unknown_variable_is_an_unknown_key() {
    let error = load_text(LOG_ID, &[("PLATFORM_AGENT_SOURCE__EXCLUDED", "x")]).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("source.excluded: unknown key; did you mean `source.exclude`?"),
        "{text}"
    );
    assert!(
        text.contains("environment PLATFORM_AGENT_SOURCE__EXCLUDED"),
        "{text}"
    );
}

#[test]
fn a_budget_that_cannot_hold_two_bodies_is_refused() {
    let found = problems(&format!("{LOG_ID}[memory]\nbudget = \"16MiB\"\n"));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("memory.budget: is too small"),
        "{found:?}"
    );
    let small = format!("{LOG_ID}[memory]\nbudget = \"16MiB\"\n[batch]\nmax_bytes = \"1MiB\"\n");
    assert!(load_text(&small, &[]).is_ok());
}

#[test]
fn a_missing_file_is_a_problem_only_when_it_was_named() {
    let error = load(Some(Path::new("/nowhere/agent.toml")), std::iter::empty()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/agent.toml"));
}
