//! Memory under a backlog of many gigabytes, in one file and in many.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use anyhow::Result;

use super::{Bench, finish, mebi, mega, wait_bytes};
use crate::corpus::{Corpus, Spec, log_files, make_container};
use crate::figure::Figure;
use crate::sink::Mode;

/// Bodies are about as long as the log they come from; this much of them shows the peak.
const SHARE: f64 = 0.8;
/// Left free on the disk.
const SPARE: f64 = 0.25;

/// Measures `bytes` of backlog, made of one corpus: as one file (as long as the disk has room) and
/// as `files` files that share their bytes on disk.
///
/// # Errors
/// When the agent fails.
pub fn measure(bench: &Bench<'_>, spec: Spec, bytes: u64, files: u64) -> Result<Vec<Figure>> {
    let corpus = Corpus::prepare(&bench.corpora, spec)?;
    let source = &corpus.files()?[0];
    let mut figures = Vec::new();

    let dir = bench.corpora.join("footprint");
    let _ = fs::remove_dir_all(&dir);
    let space = rustix::fs::statvfs(&bench.corpora)?;
    let room = (space.f_bavail * space.f_frsize) as f64 * (1.0 - SPARE);
    let copies = (bytes.min(room as u64) / corpus.bytes).max(1);
    join(source, copies, &make_container(&dir, 0)?)?;
    figures.extend(run(bench, &dir, copies * corpus.bytes, 1)?);
    fs::remove_dir_all(&dir)?;

    for n in 0..files {
        fs::hard_link(source, make_container(&dir, n)?)?;
    }
    figures.extend(run(bench, &dir, files * corpus.bytes, files)?);
    fs::remove_dir_all(&dir)?;
    Ok(figures)
}

/// Repeats a file; the kernel copies.
fn join(source: &Path, copies: u64, target: &Path) -> io::Result<()> {
    let mut out = File::create(target)?;
    for _ in 0..copies {
        io::copy(&mut File::open(source)?, &mut out)?;
    }
    Ok(())
}

fn run(bench: &Bench<'_>, containers: &Path, bytes: u64, files: u64) -> Result<Vec<Figure>> {
    bench.sink.reset(Mode::Discard);
    let mut agent = bench.setup.start_agent(containers, bench.sink, "")?;
    wait_bytes(&mut agent, bench.sink, bytes, SHARE)?;
    let spent = finish(agent, bench.sink)?;
    debug_assert_eq!(log_files(containers)?.len() as u64, files);
    let name = format!("footprint/{files}-files");
    Ok(vec![
        Figure::new(format!("{name}/backlog"), "GB", vec![bytes as f64 / 1e9]),
        Figure::new(
            format!("{name}/memory-at-most"),
            "MiB",
            vec![mebi(spent.rss_max_bytes)],
        ),
        Figure::new(
            format!("{name}/rate"),
            "MB per CPU s",
            vec![mega(bytes) / spent.cpu.total()],
        ),
    ])
}
