//! Containers that write nothing: what watching them takes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Bench, finish, mebi, share_of_core, wait_lines};
use crate::corpus::{LineWriter, make_container};
use crate::figure::Figure;
use crate::ledger::Ledger;
use crate::shape::Shape;
use crate::sink::Mode;

const LINES_EACH: u64 = 10;
/// Until nothing is left to do: the second scan finds folders that are no longer new.
const SETTLE: Duration = Duration::from_secs(15);

/// Measures `containers` quiet containers for `span`.
///
/// # Errors
/// When the agent fails or a line does not arrive.
pub fn measure(bench: &Bench<'_>, containers: u64, span: Duration) -> Result<Vec<Figure>> {
    let dir = bench.setup.fresh("quiet")?;
    let mut writer = LineWriter::new(Shape::Plain120, 1);
    for n in 0..containers {
        let mut out = BufWriter::new(File::create(make_container(&dir, n)?)?);
        for _ in 0..LINES_EACH {
            writer.line(&mut out)?;
        }
        out.flush()?;
    }
    bench.sink.reset(Mode::Count(Ledger::default()));
    let mut agent = bench.setup.start_agent(&dir, bench.sink, "")?;
    let all = wait_lines(&mut agent, bench.sink, containers * LINES_EACH)?;
    ensure!(
        all,
        "{} of {} lines arrived",
        bench.sink.lines(),
        containers * LINES_EACH
    );
    std::thread::sleep(SETTLE);
    let share = share_of_core(&mut agent, span)?;
    let (now, most) = (agent.memory("VmRSS")?, agent.memory("VmHWM")?);
    finish(agent, bench.sink)?;
    let name = format!("quiet/{containers}-containers");
    Ok(vec![
        Figure::new(format!("{name}/cpu"), "% of a core", vec![share * 100.0]),
        Figure::new(format!("{name}/memory"), "MiB", vec![mebi(now)]),
        Figure::new(format!("{name}/memory-at-most"), "MiB", vec![mebi(most)]),
    ])
}
