//! What is told of a run: by its exit code, `status`, `doctor`, metrics and a webhook.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::host::{assert_found, findings, is_found};
use crate::setup::Platform;

/// A listener that takes POSTs: the path and the body of each.
fn webhook() -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "http://{}/hook/of-5ecret-name",
        listener.local_addr().unwrap()
    );
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = Vec::new();
            let mut piece = [0; 4096];
            let (head, body) = loop {
                let read = stream.read(&mut piece).unwrap();
                bytes.extend_from_slice(&piece[..read]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n")
                    && let Ok(body) = serde_json::from_str::<Value>(body)
                {
                    break (head.to_owned(), body);
                }
                assert!(read > 0, "{text}");
            };
            let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).unwrap();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            if sender.send((path, body)).is_err() {
                return;
            }
        }
    });
    (url, receiver)
}

fn metric(platform: &Platform, name: &str) -> Option<i64> {
    let text = platform.host.read("metrics/platform_ops.prom");
    let start = format!("platform_ops_backup_{name} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start))?;
    line.parse().ok()
}

/// A name and labels, a space, a number: the text format 0.0.4, with each type said once.
fn is_well_formed(text: &str) {
    let mut families = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            families.push(rest.split(' ').next().unwrap().to_owned());
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        value.parse::<f64>().unwrap();
        let name = series.split('{').next().unwrap();
        assert_eq!(families.last().map(String::as_str), Some(name), "{text}");
    }
    let mut once = families.clone();
    once.dedup();
    assert_eq!(once, families);
    assert!(text.ends_with('\n'));
}

#[test]
fn a_failure_is_told_everywhere_and_a_success_ends_it() {
    let platform = Platform::new();
    let (url, told) = webhook();
    std::fs::create_dir(platform.host.path("metrics")).unwrap();
    let recipients = platform.recipients();
    let configure = |directory: &std::path::Path| {
        let metrics = platform.host.path("metrics/platform_ops.prom");
        platform.configure(&format!(
            "{recipients}\ndirectory = {directory:?}\nmetrics_file = {metrics:?}\n[webhook]\nurl = {url:?}\nsuccess = true\n"
        ));
    };
    // A file is in the folder's place.
    configure(&platform.key());
    a_failure_is_told(&platform, &told);

    configure(&platform.store());
    let set = platform.create(&[]);
    let (_, message) = told.recv().unwrap();
    // Nobody has tried the key that is kept elsewhere yet.
    assert_eq!(message["alarms"][0]["kind"], "escrow");
    assert_eq!(
        (&message["set"], &message["exit"]),
        (&set.as_str().into(), &0.into())
    );
    platform
        .ops(&[
            "backup",
            "drill",
            "latest",
            "--identity",
            &platform.key_argument(),
        ])
        .ok();
    all_is_well(&platform);

    platform.create(&["--no-drill"]);
    let (_, message) = told.recv().unwrap();
    assert_eq!(
        (&message["event"], &message["exit"]),
        (&"backup_ok".into(), &3.into())
    );
    // A webhook that nobody answers fails no backup, and its address is not printed.
    platform.configure(&format!(
        "{recipients}\ndirectory = {:?}\n[webhook]\nurl = \"http://127.0.0.1:9/of-5ecret-name\"\nsuccess = true\n",
        platform.store()
    ));
    let run = platform.ops(&["backup", "create", "--no-drill"]);
    assert_eq!(run.code, 3, "{}", run.all());
    assert!(
        run.err.contains("webhook") && !run.err.contains("5ecret"),
        "{}",
        run.err
    );
}

fn a_failure_is_told(platform: &Platform, told: &Receiver<(String, Value)>) {
    let run = platform.ops(&["backup", "create", "--no-drill"]);
    assert_eq!(run.code, 1, "{}", run.all());
    let (path, message) = told.recv().unwrap();
    assert_eq!(path, "/hook/of-5ecret-name");
    assert_eq!(
        (&message["event"], &message["exit"]),
        (&"backup_alarm".into(), &1.into())
    );
    assert_eq!(message["alarms"][0]["kind"], "failed");
    assert!(!message.to_string().contains("5ecret"), "{message}");
    assert_eq!(metric(platform, "failures"), Some(1));
    assert_eq!(metric(platform, "last_attempt_exit_code"), Some(1));
    assert_eq!(metric(platform, "alarm{kind=\"failed\"}"), Some(1));
    assert_eq!(metric(platform, "last_set_timestamp_seconds"), None);
    assert_found(
        &findings(&platform.host),
        &[("backup.failed", "backups"), ("backup.age", "backups")],
    );
    let status = platform.ops(&["status"]);
    assert_eq!(status.code, 3, "{}", status.all());
    assert!(
        status.out.contains("1 run in a row made no set"),
        "{}",
        status.out
    );
}

fn all_is_well(platform: &Platform) {
    is_well_formed(&platform.host.read("metrics/platform_ops.prom"));
    for kind in ["failed", "stale", "undrilled", "escrow", "size"] {
        assert_eq!(
            metric(platform, &format!("alarm{{kind=\"{kind}\"}}")),
            Some(0),
            "{kind}"
        );
    }
    let escrow = metric(platform, "last_drill_timestamp_seconds{key=\"escrow\"}");
    assert!(escrow.is_some());
    let found = findings(&platform.host);
    for check in [
        "backup.failed",
        "backup.age",
        "backup.drill",
        "backup.escrow",
    ] {
        assert!(!is_found(&found, check, ""), "{check}");
    }
    assert_found(&found, &[("backup.schedule", "backups")]);
    let status = platform.ops(&["status"]);
    assert!(status.out.contains("one interval"), "{}", status.out);
}
