//! One line: read as serde_json reads it, or said to be no record.

use agent_core::docker::{self, Record, Unusual};
use agent_core::escape::{self, Check};
use agent_core::stamp;
use serde_json::Value;

pub fn run(line: &[u8]) {
    let json: Option<Value> = serde_json::from_slice(line).ok();
    if let Some(record) = docker::parse(line) {
        let json = json.expect("a line in the fixed shape is JSON");
        let object = json.as_object().expect("an object");
        assert_eq!(object.len(), 3);
        assert_same(&record, &json);
        return;
    }
    match docker::parse_unusual(line) {
        Unusual::Record(record) => {
            assert_eq!(escape::check(&record.text), Check::Valid);
            assert!(stamp::is_valid(&record.time));
            // Otherwise it was mended.
            if let Some(json) = json.filter(|json| json["stream"] == record.stream.as_str()) {
                assert_same(&record, &json);
            }
        }
        Unusual::Glued { at } => {
            assert!(at > 0 && at < line.len());
            let second = &line[at..];
            let is_record = docker::frame(second).is_some()
                || matches!(docker::parse_unusual(second), Unusual::Record(_));
            assert!(is_record, "what is glued on has a record's frame");
        }
        Unusual::Malformed => assert!(!json.is_some_and(|json| is_docker(line, &json))),
    }
}

fn said(record: &Record<'_>) -> String {
    let quoted = [b"\"", &record.text[..], b"\""].concat();
    let text: String = serde_json::from_slice(&quoted).expect("a valid text");
    text + if record.complete { "\n" } else { "" }
}

fn assert_same(record: &Record<'_>, json: &Value) {
    assert_eq!(said(record), json["log"].as_str().unwrap_or_default());
    assert_eq!(json["stream"], record.stream.as_str());
    assert_eq!(
        json["time"].as_str().map(str::as_bytes),
        Some(&*record.time)
    );
}

/// It has all that makes it Docker's, each key once.
fn is_docker(line: &[u8], json: &Value) -> bool {
    let once = |key: &[u8]| line.windows(key.len()).filter(|part| *part == key).count() == 1;
    let stream = json["stream"].as_str().unwrap_or_default();
    json.is_object()
        && json["log"].is_string()
        && ["stdout", "stderr"].contains(&stream)
        && json["time"].as_str().is_some_and(|time| stamp::is_valid(time.as_bytes()))
        && [&b"\"log\""[..], b"\"stream\"", b"\"time\""].into_iter().all(once)
        // The stream is read without a copy, so not where it is written with escapes.
        && once(format!("\"{stream}\"").as_bytes())
}
