#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::*;

fn value<'a>(ini: &'a Ini, section: &str, key: &str) -> Option<&'a str> {
    ini.get(section, key).map(|value| value.text.as_str())
}

#[test]
fn sections_inherit_from_default() {
    let text = "[DEFAULT]\nregion = fra\nuser=u\n[A]\nuser : v\n";
    let ini = Ini::parse(text).unwrap();
    assert_eq!(value(&ini, "A", "user"), Some("v"));
    assert_eq!(value(&ini, "A", "region"), Some("fra"));
    assert_eq!(value(&ini, "DEFAULT", "user"), Some("u"));
    assert!(ini.has_section("A") && !ini.has_section("B"));
    assert_eq!(ini.get("A", "user").unwrap().line, 5);
}

#[test]
fn reads_odd_but_legal_lines() {
    let text = "\u{feff}; c\r\n[A] trailing\r\nKey_File=~/a=b:c # kept\r\n# c\r\n\r\nP = 100%\r\n";
    let ini = Ini::parse(text).unwrap();
    assert_eq!(value(&ini, "A", "key_file"), Some("~/a=b:c # kept"));
    assert_eq!(value(&ini, "A", "p"), Some("100%"));
}

#[test]
fn deeper_lines_continue_a_value() {
    let ini = Ini::parse("[A]\nk = 1\n  2\n\n  # no\n  3\n\nl =\n").unwrap();
    assert_eq!(value(&ini, "A", "k"), Some("1\n2\n\n3"));
    assert_eq!(value(&ini, "A", "l"), Some(""));
}

#[test]
fn names_the_line_of_an_error_but_no_value() {
    let wrong = [
        ("user=u\n", 1, "before the first"),
        ("[A]\nsecret\n", 2, "neither"),
        ("[A]\nk=1\nK:2\n", 3, "key comes twice"),
        ("[A]\n[B]\n[A]\n", 3, "section comes twice"),
        ("[A]\n= 1\n", 2, "without a key"),
    ];
    for (text, line, what) in wrong {
        let error = Ini::parse(text).err().unwrap();
        assert_eq!(error.line, line, "{text}");
        assert!(error.what.contains(what), "{error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = Ini::parse(&text);
    }
}

/// Files made of the pieces that parsers disagree on.
fn file() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["DEFAULT", "A", "B", "a b", "x]y"]);
    let key = prop::sample::select(vec!["user", "User", "k", "key file", "é", ""]);
    let value = prop::sample::select(vec![
        "", "v", "  v  ", "a=b", "a:b", "100%", "%(user)s", "x # y", "x ; y", "ü", "[A]", "\"q\"",
    ]);
    let indent = prop::sample::select(vec!["", "", "", " ", "  ", "\t", "    "]);
    let delimiter = prop::sample::select(vec!["=", ":", " = ", " : ", "\t=", ""]);
    let end = prop::sample::select(vec!["\n", "\n", "\n", "\r\n", "\n\n", "\r", "\n \n"]);
    let content = prop_oneof![
        3 => name.prop_map(|name| format!("[{name}]")),
        8 => (key, delimiter, value.clone()).prop_map(|(k, d, v)| format!("{k}{d}{v}")),
        2 => value.prop_map(str::to_owned),
        1 => Just("# c = d".to_owned()),
        1 => Just("; [A]".to_owned()),
        1 => Just("[]".to_owned()),
        1 => Just("[A] x".to_owned()),
    ];
    let line =
        (indent, content, end).prop_map(|(indent, text, end)| format!("{indent}{text}{end}"));
    prop::collection::vec(line, 0..9)
        .prop_map(|lines| lines.concat())
        .prop_flat_map(|rest| {
            prop_oneof![
                1 => Just(rest.clone()),
                4 => Just(format!("[DEFAULT]\n{rest}")),
            ]
        })
}

/// Sections with their keys and values, `DEFAULT` inherited; `None` when the file is refused.
type Reading = Option<BTreeMap<String, BTreeMap<String, String>>>;

fn our_reading(text: &str) -> Reading {
    let ini = Ini::parse(text).ok()?;
    let names = ini.section_names().chain([DEFAULT_SECTION]);
    let section = |name: &str| {
        let own = ini.sections.iter().filter(|section| section.name == name);
        let entries = own
            .chain([&ini.defaults])
            .flat_map(|section| &section.entries);
        let keys = entries.map(|entry| entry.key.clone());
        keys.map(|key| (key.clone(), value(&ini, name, &key).unwrap().to_owned()))
            .collect()
    };
    Some(names.map(|name| (name.to_owned(), section(name))).collect())
}

const PYTHON: &str = r#"
import configparser, io, json, sys
def read(text):
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_file(io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8"))
    except configparser.Error:
        return None
    return {name: dict(parser[name]) for name in parser}
json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout)
"#;

fn pythons_readings(texts: &[String]) -> Vec<Reading> {
    let mut python = Command::new("python3")
        .args(["-c", PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = serde_json::to_vec(texts).unwrap();
    python.stdin.take().unwrap().write_all(&input).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The Python SDK and CLI read their config with `configparser`: it is the judge.
#[test]
fn reads_as_pythons_configparser_does() {
    let mut runner = TestRunner::deterministic();
    let strategy = file();
    let texts: Vec<String> = (0..3000)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect();
    let readings = pythons_readings(&texts);
    let read = readings.iter().filter(|reading| reading.is_some()).count();
    assert!(
        (300..2700).contains(&read),
        "files of both kinds: {read} of 3000 are read"
    );
    for (text, expected) in texts.iter().zip(readings) {
        assert_eq!(our_reading(text), expected, "{text:?}");
    }
}
