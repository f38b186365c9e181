//! Runs every kept input: the corpus, and what was found.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

fn inputs(folder: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(target);
    let Ok(files) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn no_kept_input_breaks_its_target() {
    let mut broken = Vec::new();
    for (name, run) in agent_fuzz::TARGETS {
        let corpus = inputs("corpus", name);
        assert!(!corpus.is_empty(), "{name} has no corpus");
        for path in corpus.into_iter().chain(inputs("finds", name)) {
            let bytes = fs::read(&path).unwrap();
            if catch_unwind(|| run(&bytes)).is_err() {
                broken.push(path);
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
