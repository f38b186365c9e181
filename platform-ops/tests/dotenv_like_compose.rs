//! The env file parser against `docker compose config`, which is the judge.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use platform_ops::dotenv;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Each line alone shows one thing; a file of them shows that none spills into the next.
const CASES: &[&str] = &[
    "A=plain",
    "A=",
    "A=a=b==",
    "A = spaced ",
    "A=a b  c",
    "A=a#b",
    "A=a #b",
    "A=a\t#b",
    "A=#b",
    "A= #b",
    "export A=x",
    "exportA=x",
    "export  A=x",
    "A: yaml",
    "A:x=y",
    "A='single $x #y'",
    "A='a\\'b'",
    "A='a\\nb'",
    "A='a\\\\b'",
    "A=\"double\"",
    "A=\"a\\nb\\tc\"",
    "A=\"a\\\"b\"",
    "A=\"a\\\\b\"",
    "A=\"a\\$x\"",
    "A=\"a\\qb\"",
    "A=\"$B c\"",
    "A=$B",
    "A=${B}",
    "A=${B}x",
    "A=$Bx",
    "A=${NOPE}",
    "A=$NOPE.",
    "A=${NOPE:-d}",
    "A=${NOPE-d}",
    "A=${EMPTY:-d}",
    "A=${EMPTY-d}",
    "A=${B:+alt}",
    "A=${NOPE:+alt}",
    "A=${B+alt}",
    "A=${NOPE:-${B}}",
    "A=${NOPE:-a${B}c}d",
    "A=$$",
    "A=$$B",
    "A=a$",
    "A=a$1",
    "A=$(id)",
    "A=a$ b",
    "A='multi\nline'",
    "A=\"multi\nline\"",
    "A=\"x\" # comment",
    "A='x'y=1",
    "A=\"x\"\t",
    "\tA=x",
    "  # comment\nA=x",
    "A=x\r",
    "A.b=x",
    "A-b=x\nA=1",
    "A=ä€",
    "A=\"\\u00e4\"",
    "A=\\n",
    "A=a\\b",
    "A='$'",
    "A=\"a'b\"",
    "A='a\"b'",
    "A=a'b'c",
    "A=a\"b\"c",
    "A=${B:?no}",
    "A=${NOPE:?no}",
    "A=${",
    "A=${}",
    "A=${1}",
    "A=\"open",
    "A='open",
    "A B=x",
    "A+=x",
    "=x",
    "A",
    "A\nC=1",
    "A=\"\\0101\"",
    "A=\"\\07\"",
    "A=${B",
    "A=${B:-x",
    "A={}",
    "A=$B$B",
    "A=\"${B}\\n\"",
    "A=a\\$B",
    "A=x\n\n\nC=y",
    "A=1\nA=2",
    "A=~",
    "A=a;b",
    "A=a,b",
    "A=`id`",
    "A=!x",
    "A=%x",
    "A=*",
    "A=[x]",
    "A={\"a\": 1}",
    "A=${B }",
    "A=${B!x}",
    "A=\"tail\\\\\"",
    "A='tail\\\\'",
    "A=\"a\\fb\"",
    "A=\"a\\ab\"",
    "A=\"a\\cb\"",
    "A=${b:-low}",
    "A=\u{a0}x",
    "A=x\u{a0}",
    "A=x #",
    "A=\"x\"#y",
];

fn compose(folder: &Path, text: &str) -> Option<BTreeMap<String, String>> {
    std::fs::write(folder.join("test.env"), format!("B=bee\nEMPTY=\n{text}")).unwrap();
    let output = Command::new("docker")
        .args([
            "compose",
            "--env-file",
            "test.env",
            "config",
            "--format",
            "json",
        ])
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .output()
        .unwrap();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("unknown"), "no compose plug-in: {stderr}");
        return None;
    }
    let config: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let environment = config["services"]["s"]["environment"]
        .as_object()
        .unwrap()
        .clone();
    let value = |value: &serde_json::Value| value.as_str().unwrap().replace("$$", "$");
    Some(
        environment
            .iter()
            .map(|(key, text)| (key.clone(), value(text)))
            .collect(),
    )
}

fn ours(text: &str) -> Option<BTreeMap<String, String>> {
    let text = format!("B=bee\nEMPTY=\n{text}");
    let outer = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]);
    let values = dotenv::values(&dotenv::parse(&text, &outer).ok()?);
    let get = |key: &str| (key.to_owned(), values.get(key).cloned().unwrap_or_default());
    Some(["A", "B", "C", "D"].map(get).into())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let compose = "services:\n  s:\n    image: x\n    environment:\n      A: ${A}\n      B: ${B}\n      C: ${C}\n      D: ${D}\n";
    std::fs::write(folder.path().join("compose.yaml"), compose).unwrap();
    folder
}

#[test]
fn every_known_case_is_read_as_compose_reads_it() {
    let folder = folder();
    let mut wrong = Vec::new();
    for case in CASES {
        for text in [
            format!("{case}\n"),
            (*case).to_owned(),
            format!("{case}\nD=after\n"),
        ] {
            let (theirs, ours) = (compose(folder.path(), &text), ours(&text));
            if theirs != ours {
                wrong.push(format!(
                    "{text:?}\n  compose {theirs:?}\n  we      {ours:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn random_files_are_read_as_compose_reads_them() {
    let folder = folder();
    let config = Config {
        cases: 150,
        failure_persistence: None,
        ..Config::default()
    };
    let value = "[ab$#'\"\\\\ {}:=?+\\-n0]{0,10}";
    let file = (value, value, "(A|C|D|export A|#A|A )", "[ =:]{1,2}");
    TestRunner::new(config)
        .run(&file, |(first, second, key, sign)| {
            let text = format!("{key}{sign}{first}\nD={second}\n");
            prop_assert_eq!(compose(folder.path(), &text), ours(&text), "{:?}", text);
            Ok(())
        })
        .unwrap();
}
