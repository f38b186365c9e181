//! The agent in two configurations, in turns on the same backlog: what the other one costs.

use anyhow::{Result, ensure};

use super::{Bench, finish, mega, wait_bytes, wait_lines};
use crate::corpus::{Corpus, Spec};
use crate::figure::Figure;
use crate::ledger::Ledger;
use crate::process::Program;
use crate::sink::Mode;
use crate::tls::Front;

/// All bodies of a run, but for the few bytes by which runs differ.
const SHARE: f64 = 0.99;
/// Enough for two pipelines with bodies of full size.
const PIPELINES: &str = "[memory]\nbudget = \"48MiB\"\n[limits]\npipelines = ";

/// One of the two: its name, and environment variables.
struct Side<'a> {
    name: &'a str,
    more: String,
    environment: Vec<(&'static str, String)>,
}

/// Two pipelines next to one.
///
/// # Errors
/// When the agent fails, or loses or repeats a line.
pub fn pipelines(bench: &Bench<'_>, spec: Spec, rounds: usize) -> Result<Vec<Figure>> {
    let side = |name, count: usize| Side {
        name,
        more: format!("{PIPELINES}{count}\n"),
        environment: Vec::new(),
    };
    measure(
        bench,
        "pipelines",
        spec,
        rounds,
        [side("one", 1), side("two", 2)],
    )
}

/// TLS next to plain HTTP.
///
/// # Errors
/// When the agent fails, or loses or repeats a line.
pub fn tls(bench: &Bench<'_>, spec: Spec, rounds: usize) -> Result<Vec<Figure>> {
    let front = Front::start(bench.sink.address(), bench.setup.scratch.path())?;
    let authority = front.authority.to_string_lossy().into_owned();
    let side = |name, environment| Side {
        name,
        more: String::new(),
        environment,
    };
    let over_tls = vec![
        ("PLATFORM_AGENT_LOGGING__ENDPOINT", front.url),
        ("PLATFORM_AGENT_OCI__CA_BUNDLE", authority),
    ];
    let sides = [side("plain", Vec::new()), side("tls", over_tls)];
    measure(bench, "tls", spec, rounds, sides)
}

/// The figure that is judged is the second's share of the first's log bytes per CPU second.
fn measure(
    bench: &Bench<'_>,
    experiment: &str,
    spec: Spec,
    rounds: usize,
    sides: [Side<'_>; 2],
) -> Result<Vec<Figure>> {
    let corpus = Corpus::prepare(&bench.corpora, spec)?;
    let name = format!("{experiment}/{}/{}-files", spec.shape.name(), spec.files);
    let mut body_bytes = [0; 2];
    for (side, body_bytes) in sides.iter().zip(&mut body_bytes) {
        bench.sink.reset(Mode::Count(Ledger::default()));
        let mut agent = start(bench, &corpus, side)?;
        wait_lines(&mut agent, bench.sink, corpus.lines)?;
        *body_bytes = bench.sink.bytes();
        finish(agent, bench.sink)?;
        let Mode::Count(ledger) = bench.sink.reset(Mode::Discard) else {
            anyhow::bail!("the sink did not count");
        };
        let found = (ledger.lines, ledger.repeated);
        ensure!(
            found == (corpus.lines, 0),
            "{name}, {}: {found:?} lines arrived and were repeated, of {}",
            side.name,
            corpus.lines
        );
    }
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for ((side, bytes), rates) in sides.iter().zip(body_bytes).zip(&mut rates) {
            bench.sink.reset(Mode::Discard);
            let mut agent = start(bench, &corpus, side)?;
            wait_bytes(&mut agent, bench.sink, bytes, SHARE)?;
            rates.push(mega(corpus.bytes) / finish(agent, bench.sink)?.cpu.total());
        }
    }
    let [first, second] = rates;
    let figure = |side: &Side<'_>, samples| {
        Figure::new(
            format!("{name}/{}", side.name),
            "MB per CPU second",
            samples,
        )
    };
    let (first, second) = (figure(&sides[0], first), figure(&sides[1], second));
    let share = format!("{name}/share-of-{}", sides[0].name);
    let share = Figure::ratio(share, &second, &first);
    Ok(vec![first, second, share])
}

fn start(bench: &Bench<'_>, corpus: &Corpus, side: &Side<'_>) -> Result<Program> {
    let (containers, sink) = (&corpus.containers, bench.sink);
    let environment = &side.environment;
    Ok(bench
        .setup
        .start_agent_with(containers, sink, &side.more, environment)?)
}
