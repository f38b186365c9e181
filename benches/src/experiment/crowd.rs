//! The same bytes in few files and in very many.

use std::fs;

use anyhow::Result;

use super::{Bench, finish, wait_bytes};
use crate::corpus::{Corpus, Spec, make_container};
use crate::figure::Figure;
use crate::sink::Mode;

/// Bodies as a part of the log bytes, at least.
const SHARE: f64 = 0.95;

/// Ships `bytes` in `few` and in `many` files, `rounds` times in turns.
///
/// # Errors
/// When the agent fails.
pub fn measure(
    bench: &Bench<'_>,
    spec: Spec,
    bytes: u64,
    few: u64,
    many: u64,
    rounds: usize,
) -> Result<Vec<Figure>> {
    let mut folders = Vec::new();
    for files in [few, many] {
        // All containers' files are one file with many names.
        let spec = Spec {
            bytes: bytes / files,
            ..spec
        };
        let corpus = Corpus::prepare(&bench.corpora, spec)?;
        let source = &corpus.files()?[0];
        let dir = bench.corpora.join(format!("crowd-{files}"));
        let _ = fs::remove_dir_all(&dir);
        for n in 0..files {
            fs::hard_link(source, make_container(&dir, n)?)?;
        }
        folders.push((dir, corpus.bytes * files));
    }
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for ((dir, bytes), costs) in folders.iter().zip(&mut costs) {
            bench.sink.reset(Mode::Discard);
            let mut agent = bench.setup.start_agent(dir, bench.sink, "")?;
            wait_bytes(&mut agent, bench.sink, *bytes, SHARE)?;
            let spent = finish(agent, bench.sink)?;
            costs.push(spent.cpu.total() * 1e9 / *bytes as f64);
        }
    }
    for (dir, _) in folders {
        fs::remove_dir_all(dir)?;
    }
    let [few_costs, many_costs] = costs;
    let few_cost = Figure::new(format!("crowd/{few}-files"), "CPU s per GB", few_costs);
    let many_cost = Figure::new(format!("crowd/{many}-files"), "CPU s per GB", many_costs);
    let ratio = Figure::ratio("crowd/cost-of-many", &many_cost, &few_cost);
    Ok(vec![few_cost, many_cost, ratio])
}
