//! The experiments: each starts programs, gives them work, and asks the kernel what it cost.

pub mod backlog;
pub mod crowd;
pub mod footprint;
pub mod gentle;
pub mod gzip;
pub mod pace;
pub mod pair;
pub mod quiet;
pub mod sinking;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::agent::Setup;
use crate::peer::Peer;
use crate::process::{Program, Spent};
use crate::sink::Sink;

/// Nothing arrived for this long, and all that should is there: it is done.
const QUIET: Duration = Duration::from_millis(300);
/// Nothing arrived for this long: more will not come.
const STUCK: Duration = Duration::from_secs(40);

/// No run may take longer.
const LIMIT: Duration = Duration::from_secs(300);

/// Shared by all experiments.
pub struct Bench<'a> {
    /// The agent's.
    pub setup: &'a Setup,
    /// Where all send to.
    pub sink: &'a Sink,
    /// Programs to compare with; the yardstick is the first of them.
    pub peers: &'a [Peer],
    /// Where corpora are kept.
    pub corpora: std::path::PathBuf,
}

/// Waits until the sink has `share` of `bytes` of bodies and nothing more comes.
///
/// # Errors
/// When the program ends or stops sending.
pub fn wait_bytes(program: &mut Program, sink: &Sink, bytes: u64, share: f64) -> Result<()> {
    let enough = (bytes as f64 * share) as u64;
    wait(program, sink, || sink.bytes() >= enough)
        .with_context(|| format!("{} of {bytes} bytes of bodies arrived", sink.bytes()))
}

/// Waits until this many different lines arrived and nothing more comes. Whether all did.
///
/// # Errors
/// When the program ends.
pub fn wait_lines(program: &mut Program, sink: &Sink, lines: u64) -> Result<bool> {
    match wait(program, sink, || sink.lines() >= lines) {
        Ok(()) => Ok(true),
        Err(_) if program.check().is_ok() => Ok(false),
        Err(error) => Err(error),
    }
}

fn wait(program: &mut Program, sink: &Sink, done: impl Fn() -> bool) -> Result<()> {
    let began = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(10));
        program.check()?;
        if began.elapsed() > LIMIT {
            bail!("not done after {LIMIT:?}");
        }
        let quiet = sink.quiet();
        if quiet >= QUIET && done() {
            return Ok(());
        }
        if quiet > STUCK {
            bail!("nothing came for {quiet:?}");
        }
    }
}

/// Stops the program and says what it cost.
///
/// # Errors
/// When it does not end, or the sink met something that is not HTTP.
pub fn finish(program: Program, sink: &Sink) -> Result<Spent> {
    let spent = program.stop()?;
    if let Some(error) = sink.error() {
        bail!("the sink failed: {error}");
    }
    Ok(spent)
}

/// CPU seconds and wall seconds of a program over some time.
///
/// # Errors
/// When it ends meanwhile.
pub fn share_of_core(program: &mut Program, span: Duration) -> Result<f64> {
    let (began, before) = (Instant::now(), program.cpu_now()?);
    std::thread::sleep(span);
    program.check()?;
    Ok((program.cpu_now()? - before) / began.elapsed().as_secs_f64())
}

/// Megabytes.
pub fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Mebibytes.
pub fn mebi(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
