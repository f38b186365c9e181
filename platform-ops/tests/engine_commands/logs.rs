//! `logs`: several at once, from a time on, followed, in colours.

use std::io::{BufRead, BufReader};

use crate::host::Host;
use crate::signal;

pub fn logs(host: &Host) {
    let run = host.ops(&["logs", "--json", "postgres", "redis"]).ok();
    let seen: Vec<serde_json::Value> = run
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let has = |service: &str, text: &str| {
        seen.iter()
            .any(|line| line["service"] == service && line["text"].as_str().unwrap().contains(text))
    };
    assert!(
        has("postgres", "ready to accept connections")
            && has("redis", "Ready to accept connections"),
        "{}",
        run.out
    );
    assert!(!seen.iter().any(|line| line["service"] == "pgbouncer"));
    let run = host.ops(&["logs", "-n", "1", "postgres"]).ok();
    assert_eq!(run.out.lines().count(), 1);
    assert!(
        host.ops(&["logs", "--since", "1ms", "postgres"])
            .ok()
            .out
            .is_empty()
    );
    since_and_colours(host, &seen);
    let path = host.ops(&["logs", "--path", "redis"]).ok().out;
    assert!(std::path::Path::new(path.trim()).is_file(), "{path}");
    // Two at once, followed: a line that comes later arrives, and an interrupt ends it.
    let mut child = host.spawn(&["logs", "--follow", "--tail", "0", "postgres", "pgbouncer"]);
    let lines = BufReader::new(child.stdout.take().unwrap());
    let follower = std::thread::spawn(move || {
        lines
            .lines()
            .map_while(Result::ok)
            .find(|line| line.contains("marker-of-this-test"))
    });
    while !follower.is_finished() {
        host.psql("postgres", "select 1/0 as \"marker-of-this-test\"");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let line = follower.join().unwrap().unwrap();
    assert!(line.starts_with("postgres  | "), "{line}");
    signal(child.id(), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

fn since_and_colours(host: &Host, seen: &[serde_json::Value]) {
    let times = |lines: &[serde_json::Value]| -> Vec<String> {
        let times = lines.iter().map(|line| line["time"].as_str().unwrap());
        times.map(str::to_owned).collect()
    };
    let all = times(seen);
    assert!(all.is_sorted(), "lines of two logs are not in order");
    // To the second, as Docker takes it.
    let since = all[all.len() - 1].split('.').next().unwrap();
    let arguments = ["logs", "--json", "--since", &format!("{since}Z")];
    let run = host
        .ops(&[&arguments[..], &["postgres", "redis"]].concat())
        .ok();
    let later: Vec<serde_json::Value> = run
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let wanted: Vec<_> = all.iter().filter(|time| time.as_str() >= since).collect();
    assert!(!wanted.is_empty() && wanted.len() < all.len());
    // A server may have said something since.
    let later = times(&later);
    assert_eq!(later.iter().take(wanted.len()).collect::<Vec<_>>(), wanted);
    let wrong = host.ops(&["logs", "--since", "yesterday", "redis"]);
    assert_eq!(wrong.code, 2, "{}", wrong.all());
    let coloured = host
        .ops(&["logs", "--color", "always", "postgres", "redis"])
        .ok();
    for label in ["\x1b[36mpostgres |\x1b[0m ", "\x1b[33mredis    |\x1b[0m "] {
        assert!(coloured.out.contains(label), "{}", coloured.out);
    }
    let plain = host.ops(&["logs", "postgres", "redis"]).ok();
    assert!(!plain.out.contains('\x1b'), "NO_COLOR is set");
}
