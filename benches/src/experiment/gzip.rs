//! The backlog with `compression = "gzip"`, next to gzip level 1 alone on the same bodies: zlib-rs,
//! which the agent uses, and GNU gzip.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Bench, finish, mega, wait_bytes, wait_lines};
use crate::corpus::{Corpus, Spec};
use crate::figure::Figure;
use crate::ledger::Ledger;
use crate::process::Program;
use crate::sink::Mode;

const CONFIG: &str = "compression = \"gzip\"\n";

/// Measures one shape.
///
/// # Errors
/// When a program fails.
pub fn measure(bench: &Bench<'_>, spec: Spec, rounds: usize) -> Result<Vec<Figure>> {
    let corpus = Corpus::prepare(&bench.corpora, spec)?;
    let bodies = bench.setup.scratch.path().join("bodies");
    keep_bodies(bench, &corpus, &bodies)?;
    bench.sink.reset(Mode::Count(Ledger::default()));
    let mut agent = bench
        .setup
        .start_agent(&corpus.containers, bench.sink, CONFIG)?;
    if !wait_lines(&mut agent, bench.sink, corpus.lines)? {
        bail!("{} of {} lines arrived", bench.sink.lines(), corpus.lines);
    }
    let bytes = bench.sink.bytes();
    finish(agent, bench.sink)?;
    let (mut own, mut alone, mut gnu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        bench.sink.reset(Mode::Discard);
        let mut agent = bench
            .setup
            .start_agent(&corpus.containers, bench.sink, CONFIG)?;
        wait_bytes(&mut agent, bench.sink, bytes, 0.99)?;
        own.push(mega(corpus.bytes) / finish(agent, bench.sink)?.cpu.total());
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("gzip").arg(&bodies);
        let spent = Program::start("gzip", &mut command, &bench.setup.log("gzip"))?.join()?;
        alone.push(mega(corpus.bytes) / spent.cpu.total());
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg("exec gzip -1 < \"$0\" > /dev/null")
            .arg(&bodies);
        let spent = Program::start("gzip", &mut command, &bench.setup.log("gzip"))?.join()?;
        gnu.push(mega(corpus.bytes) / spent.cpu.total());
    }
    fs::remove_file(bodies)?;
    let name = format!("gzip/{}", spec.shape.name());
    let own = Figure::new(format!("{name}/agent"), "MB per CPU second", own);
    let alone = Figure::new(format!("{name}/gzip-1-alone"), "MB per CPU second", alone);
    let gnu = Figure::new(format!("{name}/gnu-gzip-1"), "MB per CPU second", gnu);
    let share = Figure::ratio(format!("{name}/share-of-gzip"), &own, &alone);
    let times = Figure::ratio(format!("{name}/times-gnu-gzip"), &own, &gnu);
    Ok(vec![own, alone, gnu, share, times])
}

/// The bodies that the agent makes of the corpus, one behind the other, each with its length.
fn keep_bodies(bench: &Bench<'_>, corpus: &Corpus, path: &Path) -> Result<()> {
    bench.sink.reset(Mode::Keep(usize::MAX, Vec::new()));
    let mut agent = bench
        .setup
        .start_agent(&corpus.containers, bench.sink, "")?;
    wait_bytes(&mut agent, bench.sink, corpus.bytes, 0.9)?;
    finish(agent, bench.sink)?;
    let Mode::Keep(_, bodies) = bench.sink.reset(Mode::Discard) else {
        bail!("the sink kept nothing");
    };
    let mut out = fs::File::create(path)?;
    for body in bodies {
        out.write_all(&(body.len() as u64).to_le_bytes())?;
        out.write_all(&body)?;
    }
    Ok(())
}

/// Compresses each body of the file, as the agent would, and does nothing else.
///
/// # Errors
/// Those of the file.
pub fn alone(path: &Path) -> Result<()> {
    let mut file = fs::File::open(path)?;
    let mut body = Vec::new();
    let mut out = Vec::new();
    let mut length = [0; 8];
    while file.read_exact(&mut length).is_ok() {
        body.resize(usize::try_from(u64::from_le_bytes(length))?, 0);
        file.read_exact(&mut body)?;
        out.clear();
        let mut encoder = GzEncoder::new(&mut out, Compression::fast());
        encoder.write_all(&body)?;
        encoder.finish()?;
    }
    Ok(())
}
