//! Lines at a steady pace over many containers: what the agent takes of a core, its memory, and
//! how long a line takes from the write to the service's acceptance.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Bench, finish, mebi, share_of_core};
use crate::corpus::{LineWriter, make_container};
use crate::figure::Figure;
use crate::ledger::Ledger;
use crate::shape::Shape;
use crate::sink::{Mode, Sink};

/// Between two bursts of the writer.
const TICK: Duration = Duration::from_millis(10);
/// Before anything is measured.
const WARM_UP: Duration = Duration::from_secs(3);
/// For the last lines to arrive.
const REST: Duration = Duration::from_secs(5);

/// How much is written.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Containers, each with its file.
    pub containers: usize,
    /// Lines a second over all of them.
    pub lines_per_second: usize,
    /// What is measured.
    pub span: Duration,
    /// `[batch] max_age`.
    pub age_max: &'static str,
}

/// Measures one pace.
///
/// # Errors
/// When the agent fails or a line does not arrive.
pub fn measure(bench: &Bench<'_>, plan: Plan) -> Result<Vec<Figure>> {
    let dir = bench.setup.fresh("pace")?;
    let files = (0..plan.containers)
        .map(|n| {
            Ok(File::options()
                .create(true)
                .append(true)
                .open(make_container(&dir, n as u64)?)?)
        })
        .collect::<Result<Vec<File>>>()?;
    bench.sink.reset(Mode::Count(Ledger::with_times()));
    let more = format!("[batch]\nmax_age = \"{}\"\n", plan.age_max);
    let mut agent = bench.setup.start_agent(&dir, bench.sink, &more)?;
    let stop = AtomicBool::new(false);
    let (share, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(files, plan.lines_per_second, bench.sink, &stop));
        std::thread::sleep(WARM_UP);
        let share = share_of_core(&mut agent, plan.span);
        stop.store(true, Ordering::SeqCst);
        let written = writer
            .join()
            .map_err(|_| anyhow::anyhow!("the writer failed"))?;
        anyhow::Ok((share?, written?))
    })?;
    let until = Instant::now() + REST;
    while bench.sink.lines() < written.len() as u64 && Instant::now() < until {
        std::thread::sleep(TICK);
    }
    let (now, most) = (agent.memory("VmRSS")?, agent.memory("VmHWM")?);
    finish(agent, bench.sink)?;
    let Mode::Count(ledger) = bench.sink.reset(Mode::Discard) else {
        anyhow::bail!("the sink did not count");
    };
    ensure!(
        ledger.lines == written.len() as u64,
        "{} of {} lines arrived",
        ledger.lines,
        written.len()
    );
    let mut delays: Vec<f64> = (0..written.len())
        .filter(|&n| written[n] >= written[0] + WARM_UP)
        .filter_map(|n| Some(ledger.time(n)?.saturating_sub(written[n]).as_secs_f64() * 1e3))
        .collect();
    delays.sort_by(f64::total_cmp);
    let percentile = |part: f64| delays.get((delays.len() as f64 * part) as usize).copied();
    let (p50, p99) = (
        percentile(0.5).context("no delay")?,
        percentile(0.99).context("no delay")?,
    );
    let name = format!(
        "pace/{}-lines/{}-containers/max-age-{}",
        plan.lines_per_second, plan.containers, plan.age_max
    );
    Ok(vec![
        Figure::new(format!("{name}/cpu"), "% of a core", vec![share * 100.0]),
        Figure::new(format!("{name}/memory"), "MiB", vec![mebi(now)]),
        Figure::new(format!("{name}/memory-at-most"), "MiB", vec![mebi(most)]),
        Figure::new(format!("{name}/p50"), "ms to accepted", vec![p50]),
        Figure::new(format!("{name}/p99"), "ms to accepted", vec![p99]),
        Figure::new(
            format!("{name}/repeated"),
            "lines",
            vec![ledger.repeated as f64],
        ),
    ])
}

/// Writes until it is stopped; when each line was written, on the sink's clock.
fn write(
    mut files: Vec<File>,
    lines_per_second: usize,
    sink: &Sink,
    stop: &AtomicBool,
) -> Result<Vec<Duration>> {
    let mut writer = LineWriter::new(Shape::Json216, 1);
    let mut written = Vec::new();
    let began = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        let due = (began.elapsed().as_secs_f64() * lines_per_second as f64) as usize;
        while written.len() < due {
            let file = written.len() % files.len();
            let mut line = Vec::with_capacity(512);
            writer.line(&mut line)?;
            files[file].write_all(&line)?;
            written.push(sink.clock());
        }
        std::thread::sleep(TICK);
    }
    Ok(written)
}
