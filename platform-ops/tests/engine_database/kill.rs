//! Killed at every step, the next run finishes or undoes.

use crate::host::signal_after;
use crate::setup::{Platform, SCHEMA, VERSION, Way};

/// More than a fresh install has: the last kill comes too late.
const STEPS_MAX: usize = 9;
/// A run that ended before its kill, and the one after it.
const NEWER_MAX: usize = 2;

#[test]
fn a_fresh_install_that_is_killed_anywhere_is_finished_or_undone_by_the_next_run() {
    let platform = Platform::new(Way::Direct);
    platform.schema(&format!("{SCHEMA}{VERSION}"));
    let command = [
        "db",
        "fresh-install",
        "trading_db",
        "--confirm",
        "trading_db",
    ];
    for step in 1..=STEPS_MAX {
        signal_after(&platform.host, step, "KILL", || {
            platform.host.spawn(&command)
        });
        // What it has kept is not to be dropped before it is over.
        let left = platform.ops(&["db", "list", "--json"]).ok().json();
        if let Some(kept) = left["cut_short"][0]["kept"].as_str() {
            let refused = platform.ops(&["db", "drop", kept, "--confirm", kept]);
            assert_eq!(refused.code, 4, "step {step}: {}", refused.all());
        }
        // Both ways in turn, and at each step over the two halves of the run.
        if step % 2 == 0 {
            platform.install(&[]).ok();
            assert!(!platform.is_old("trading_db"), "step {step}");
            assert_eq!(
                platform.application_asks("select count(*) from orders"),
                "1",
                "step {step}"
            );
            assert_eq!(
                platform.ask("trading_db", "select version_num from alembic_version"),
                "0002"
            );
        } else {
            let undone = platform.undo();
            assert!(
                undone.code == 0 || undone.code == 10,
                "step {step}: {}",
                undone.all()
            );
            assert!(platform.is_old("trading_db"), "step {step}");
        }
        assert!(!platform.is_paused(), "step {step}");
        assert!(platform.databases("__fresh_").is_empty(), "step {step}");
        // A kill that came too late left one more new database in between.
        for _ in 0..NEWER_MAX {
            if !platform.is_old("trading_db") {
                platform.undo().ok();
            }
        }
        assert!(platform.is_old("trading_db"), "step {step}");
        for kept in platform.databases("\\_\\_") {
            platform.sql("postgres", &format!("drop database \"{kept}\""));
        }
    }
    // An interrupt puts the old one back at once.
    let code = signal_after(&platform.host, 4, "INT", || platform.host.spawn(&command));
    if code == Some(130) {
        assert!(platform.is_old("trading_db") && !platform.is_paused());
    }
}
