//! A backlog shipped at full speed: log file bytes per CPU second, next to the reference and to
//! the peers, in turns, on the same files and sink.

use anyhow::{Context, Result, ensure};

use super::{Bench, finish, mebi, mega, wait_bytes, wait_lines};
use crate::corpus::{Corpus, Spec};
use crate::figure::Figure;
use crate::ledger::Ledger;
use crate::peer::Peer;
use crate::process::Spent;
use crate::sink::Mode;

/// All bodies of a run, but for the few bytes by which runs differ.
const SHARE: f64 = 0.995;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The files.
    pub spec: Spec,
    /// Turns of agent and reference.
    pub rounds: usize,
    /// Turns in which the peers take part, the first ones.
    pub peer_rounds: usize,
}

/// What a first, counted run told of a program.
struct Census {
    lost: u64,
    repeated: u64,
    body_bytes: u64,
}

/// Measures one shape in one number of files.
///
/// # Errors
/// When a program fails, or the agent loses or repeats a line.
pub fn measure(bench: &Bench<'_>, plan: Plan) -> Result<Vec<Figure>> {
    let corpus = Corpus::prepare(&bench.corpora, plan.spec)?;
    let name = format!(
        "backlog/{}/{}-files",
        plan.spec.shape.name(),
        plan.spec.files
    );
    let peers = if plan.peer_rounds > 0 {
        bench.peers
    } else {
        &[]
    };
    let own = census(bench, &corpus, None).context("the agent")?;
    ensure!(
        own.lost == 0 && own.repeated == 0,
        "{name}: {} lines lost, {} repeated",
        own.lost,
        own.repeated
    );
    let (mut figures, censuses) = census_of_peers(bench, &corpus, &name, peers)?;
    let mut samples = vec![Vec::new(); 2 + peers.len()];
    let (mut memory, mut kernel) = (Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        let spent = run(bench, &corpus, None, own.body_bytes)?;
        samples[0].push(rate(&corpus, &spent));
        memory.push(mebi(spent.rss_max_bytes));
        kernel.push(spent.cpu.system / spent.cpu.total());
        bench.sink.reset(Mode::Discard);
        let spent = bench
            .setup
            .start_reference(&corpus.containers, bench.sink)?
            .join()?;
        samples[1].push(rate(&corpus, &spent));
        if round < plan.peer_rounds {
            for (n, peer) in peers.iter().enumerate() {
                let spent = run(bench, &corpus, Some(peer), censuses[n].body_bytes)?;
                samples[2 + n].push(rate(&corpus, &spent));
            }
        }
    }
    let names = ["agent", "reference"]
        .into_iter()
        .chain(peers.iter().map(|peer| peer.name));
    let rates: Vec<Figure> = names
        .zip(samples)
        .map(|(program, samples)| {
            Figure::new(format!("{name}/{program}"), "MB per CPU second", samples)
        })
        .collect();
    figures.push(lines(&corpus, &name, &rates[0]));
    figures.push(Figure::new(format!("{name}/memory"), "MiB at most", memory));
    figures.push(Figure::new(
        format!("{name}/kernel"),
        "of the agent's CPU",
        kernel,
    ));
    figures.push(Figure::ratio(
        format!("{name}/share-of-reference"),
        &rates[0],
        &rates[1],
    ));
    for (peer, rate) in peers.iter().zip(&rates[2..]) {
        figures.push(Figure::ratio(
            format!("{name}/times-{}", peer.name),
            &rates[0],
            rate,
        ));
    }
    figures.extend(rates);
    Ok(figures)
}

/// What peers lose and repeat.
fn census_of_peers(
    bench: &Bench<'_>,
    corpus: &Corpus,
    name: &str,
    peers: &[Peer],
) -> Result<(Vec<Figure>, Vec<Census>)> {
    let mut figures = Vec::new();
    let mut censuses = Vec::new();
    for peer in peers {
        let census = census(bench, corpus, Some(peer)).context(peer.name)?;
        figures.push(Figure::new(
            format!("{name}/lost-by-{}", peer.name),
            "lines",
            vec![census.lost as f64],
        ));
        figures.push(Figure::new(
            format!("{name}/repeated-by-{}", peer.name),
            "lines",
            vec![census.repeated as f64],
        ));
        censuses.push(census);
    }
    Ok((figures, censuses))
}

/// Lines a CPU second.
fn lines(corpus: &Corpus, name: &str, rate: &Figure) -> Figure {
    let line_bytes = mega(corpus.bytes) / corpus.lines as f64;
    let lines = rate
        .samples
        .iter()
        .map(|rate| rate / line_bytes / 1e6)
        .collect();
    Figure::new(format!("{name}/lines"), "million per CPU s", lines)
}

fn rate(corpus: &Corpus, spent: &Spent) -> f64 {
    mega(corpus.bytes) / spent.cpu.total()
}

fn start(
    bench: &Bench<'_>,
    corpus: &Corpus,
    peer: Option<&Peer>,
) -> Result<crate::process::Program> {
    match peer {
        None => Ok(bench
            .setup
            .start_agent(&corpus.containers, bench.sink, "")?),
        Some(peer) => peer.start(bench.setup, &corpus.containers, bench.sink),
    }
}

fn census(bench: &Bench<'_>, corpus: &Corpus, peer: Option<&Peer>) -> Result<Census> {
    bench.sink.reset(Mode::Count(Ledger::default()));
    let mut program = start(bench, corpus, peer)?;
    wait_lines(&mut program, bench.sink, corpus.lines)?;
    let body_bytes = bench.sink.bytes();
    finish(program, bench.sink)?;
    let Mode::Count(ledger) = bench.sink.reset(Mode::Discard) else {
        anyhow::bail!("the sink did not count");
    };
    Ok(Census {
        lost: corpus.lines - ledger.lines,
        repeated: ledger.repeated,
        body_bytes,
    })
}

fn run(bench: &Bench<'_>, corpus: &Corpus, peer: Option<&Peer>, body_bytes: u64) -> Result<Spent> {
    bench.sink.reset(Mode::Discard);
    let mut program = start(bench, corpus, peer)?;
    wait_bytes(&mut program, bench.sink, body_bytes, SHARE)?;
    finish(program, bench.sink)
}
