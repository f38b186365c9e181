//! The deterministic simulator: the core, a model of dockerd's writer, a disk that forgets, an OCI
//! that fails, and an oracle that knows what was written. One seed is one run; the same seed is the
//! same run.

#![allow(clippy::unwrap_used)]
// Which seeds to run comes from the environment; they are spread over the machine's cores.
#![allow(clippy::disallowed_methods)]

mod docker;
mod ledger;
mod oracle;
mod random;
mod world;

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};

use agent_core::planted::{Bug, plant};
use world::{Outcomes, World};

/// Seeds that `make test` runs; `make soak` says another number in `SIM_SEEDS`.
const SEEDS: u64 = 20_000;
/// A planted bug must be found by then.
const SEEDS_TO_BITE: u64 = 1_000;

fn run(seed: u64) -> Outcomes {
    World::new(seed).run()
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect(name))
}

/// Runs the seeds of one thread; says which failed.
fn share(next: &AtomicU64, end: u64) -> (Outcomes, Vec<u64>) {
    let mut total = Outcomes::default();
    let mut failed = Vec::new();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return (total, failed);
        }
        match catch_unwind(|| run(seed)) {
            Ok(outcomes) => total.add(&outcomes),
            Err(_) => failed.push(seed),
        }
    }
}

#[test]
fn nothing_is_lost_over_many_seeds() {
    let first = number("SIM_FIRST_SEED").unwrap_or(0);
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut total, mut failed) = (Outcomes::default(), Vec::new());
    std::thread::scope(|scope| {
        let share = || share(&next, first + seeds);
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(share)).collect();
        for thread in running {
            let (outcomes, seeds) = thread.join().unwrap();
            total.add(&outcomes);
            failed.extend(seeds);
        }
    });
    println!("{seeds} seeds: {total:?}");
    assert!(
        failed.is_empty(),
        "seeds {failed:?} fail; run one alone: SIM_FIRST_SEED=… SIM_SEEDS=1"
    );
    assert!(total.summary.tokens > 0 || seeds == 1);
    // Of what a killed run shipped without a checkpoint that says so, the next one can not know.
    assert!(
        total.vain * 2 < total.told || seeds < 1_000,
        "most losses are none"
    );
}

#[test]
fn the_same_seed_is_the_same_run() {
    let trace = |seed| {
        let mut world = World::new(seed);
        world.traces = true;
        world.run().trace
    };
    for seed in 0..200 {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
}

#[test]
fn each_planted_bug_is_found() {
    // Their panics are what is wanted, and would fill the log.
    std::panic::set_hook(Box::new(|_| {}));
    let found = Bug::ALL.map(|bug| {
        plant(Some(bug));
        let seed = (0..SEEDS_TO_BITE).find(|&seed| catch_unwind(|| run(seed)).is_err());
        plant(None);
        (bug, seed)
    });
    drop(std::panic::take_hook());
    println!("planted, and found by seed: {found:?}");
    let missed: Vec<_> = found.iter().filter(|(_, seed)| seed.is_none()).collect();
    assert!(missed.is_empty(), "the simulator does not see {missed:?}");
}
