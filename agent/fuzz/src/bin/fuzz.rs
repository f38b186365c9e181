//! libFuzzer around one target, named by `FUZZ_TARGET`. scripts/fuzz builds and runs it.

#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = agent_fuzz::TARGETS.iter().find(|target| target.0 == name);
    let Some((_, run)) = found else {
        eprintln!("FUZZ_TARGET={name}: no such target");
        std::process::exit(2);
    };
    *run
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
