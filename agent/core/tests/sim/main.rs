//! The deterministic simulator: the core, a model of dockerd's writer, a disk that forgets, an OCI
//! that fails, and an oracle that knows what was written. One seed is one run; the same seed is the
//! same run.

#![allow(clippy::unwrap_used)]
// Which seeds to run comes from the environment.
#![allow(clippy::disallowed_methods)]

mod docker;
mod oracle;
mod random;
mod world;

use world::{Outcomes, World};

fn run(seed: u64) -> Outcomes {
    World::new(seed).run()
}

/// Runs seeds from `SIM_FIRST_SEED` on, `SIM_SEEDS` of them; a failure names its seed.
fn run_all(seeds: u64) -> Outcomes {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect(name))
    };
    let first = number("SIM_FIRST_SEED").unwrap_or(0);
    let seeds = number("SIM_SEEDS").unwrap_or(seeds);
    let mut total = Outcomes::default();
    for seed in first..first + seeds {
        let outcomes = std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|_| {
            panic!("seed {seed} fails; run it alone: SIM_FIRST_SEED={seed} SIM_SEEDS=1")
        });
        total.summary.tokens += outcomes.summary.tokens;
        total.summary.lost += outcomes.summary.lost;
        total.losses += outcomes.losses;
        total.crashes += outcomes.crashes;
    }
    println!("{seeds} seeds: {total:?}");
    total
}

/// Not yet part of `make test`: some seeds (13 is the first) lose lines of files that are rotated
/// away and compressed around a kill. `make soak` runs it.
#[test]
#[ignore = "finds losses that are not mended yet; make soak runs it"]
fn nothing_is_lost_over_many_seeds() {
    let total = run_all(2_000);
    assert!(total.summary.tokens > 0 || std::env::var_os("SIM_SEEDS").is_some());
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..50 {
        let trace = || std::panic::catch_unwind(|| run(seed).trace).ok();
        assert_eq!(trace(), trace(), "seed {seed}");
    }
}
