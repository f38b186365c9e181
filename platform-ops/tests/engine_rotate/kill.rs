//! Killed at any moment: the pooler goes on, and the next run makes it all new or all old.

use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::setup::{
    KEY, ROLE, doors, is_paused, load, none_failed, one_of_both, trading, wait_for_load,
};

/// `make soak` sets it.
const ROUNDS: &str = "PLATFORM_OPS_SOAK_ROUNDS";

/// Kills a run as soon as the audit log has a word, some microseconds later; whether it was killed.
pub fn killed_at(host: &Host, word: &str, delay_us: u64, spawn: impl FnOnce() -> Child) -> bool {
    let path = host.path("data/platform-ops/audit.jsonl");
    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    let before = read().len();
    let mut child = spawn();
    while !read()[before..].contains(&format!("\"step\",\"text\":\"{word}"))
        && !read()[before..].contains(&format!("\"pooler\",\"text\":\"{word}"))
    {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    std::thread::sleep(Duration::from_micros(delay_us));
    let _ = child.kill();
    child.wait().unwrap().signal() == Some(9)
}

#[test]
fn a_kill_at_any_moment_fails_no_transaction_leaves_nothing_paused_and_the_next_run_finishes() {
    let host = trading();
    let load = load(&host);
    wait_for_load(&host);
    let rounds: u64 = std::env::var(ROUNDS).map_or(12, |rounds| rounds.parse().unwrap());
    // Each step of the plan, and inside of the longest.
    let words = [
        "note in config",
        "let PgBouncer",
        "PAUSE",
        "PAUSE",
        "RESUME",
        "set ",
        "remove ",
    ];
    let mut killed = 0;
    for round in 0..rounds {
        let word = words[usize::try_from(round).unwrap() % words.len()];
        // Any moment up to a quarter of a second later: primes do not repeat themselves.
        let delay = if round % 2 == 0 {
            0
        } else {
            round * 7919 % 250_000
        };
        killed += u64::from(round_of(&host, word, delay));
    }
    let transactions = none_failed(&host, load);
    eprintln!("{killed} of {rounds} runs were killed; {transactions:.0} transactions, none failed");
    assert!(killed * 2 > rounds, "{killed} of {rounds} runs were killed");
}

fn round_of(host: &Host, word: &str, delay_us: u64) -> bool {
    let old = host.env(KEY);
    let rotate = ["secrets", "rotate", ROLE, "--yes"];
    let killed = killed_at(host, word, delay_us, || host.spawn(&rotate));
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_paused(host) {
        assert!(
            Instant::now() < deadline,
            "paused after a kill at {word} + {delay_us} us"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let journal = host.path("config/rotation.json");
    if journal.exists() {
        // What would write userlist.txt from platform.env.
        for arguments in [&["up"][..], &["app", "add", "another"]] {
            let refused = host.ops(arguments);
            assert!(
                refused.code == 4 && refused.err.contains("secrets rotate"),
                "{}",
                refused.all()
            );
        }
        let text = std::fs::read_to_string(&journal).unwrap();
        assert_eq!(crate::host::access(&journal), (0o600, 0));
        // Whatever the next run will do, and when: new clients are let in until then.
        one_of_both(host, &text);
        host.ops(&rotate).ok();
        let new = host.env(KEY);
        assert!(
            new != old && text.contains(&new),
            "the secret that was under way is lost"
        );
        assert_eq!(
            doors(host, ROLE, &old),
            [false, false],
            "{word} + {delay_us} us"
        );
    }
    assert_eq!(
        doors(host, ROLE, &host.env(KEY)),
        [true, true],
        "{word} + {delay_us} us"
    );
    assert!(!journal.exists());
    let up = host.ops(&["up", "--dry-run"]).ok();
    assert!(
        !up.out.contains("rewrite"),
        "{word} + {delay_us} us: {}",
        up.all()
    );
    killed
}
