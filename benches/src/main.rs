//! `bench`: runs the experiments and judges what they gave; `make bench` calls it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use benches::agent::Setup;
use benches::corpus::{Spec, log_files};
use benches::experiment::{
    Bench, backlog, crowd, footprint, gentle, gzip, pace, pair, quiet, sinking,
};
use benches::figure::Figure;
use benches::machine::Machine;
use benches::report::Report;
use benches::shape::Shape;
use benches::sink::Sink;
use benches::{gate, peer, reference};
use clap::{Parser, Subcommand, ValueEnum};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SEED: u64 = 1;
/// The body size of the reference, and the agent's default cap.
const BATCH_BYTES: usize = 4 << 20;

/// Measures platform-agent. docs/performance.md explains the figures.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs experiments; exit code 1 when a gate does not hold, 2 when an experiment fails.
    Run {
        /// How much of them.
        #[arg(long, value_enum, default_value = "full")]
        form: Form,
        /// Only experiments whose name begins with this, such as backlog/120B.
        #[arg(long, default_value = "")]
        only: String,
        /// The agent to measure.
        #[arg(long, default_value = "target/release/platform-agent")]
        agent: PathBuf,
        /// Where corpora and the yardstick are.
        #[arg(long, default_value = "target")]
        target: PathBuf,
        /// Where results go.
        #[arg(long, default_value = "target/bench/results")]
        out: PathBuf,
    },
    /// The reference program: ships a folder of containers and ends.
    #[command(hide = true)]
    Reference {
        containers: PathBuf,
        address: String,
        key: PathBuf,
    },
    /// Sends to a sink as fast as can be.
    #[command(hide = true)]
    Flood { address: String },
    /// gzip level 1 alone on a file of bodies.
    #[command(hide = true)]
    Gzip { bodies: PathBuf },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// What every change is checked with, about two minutes.
    Short,
    /// Everything, under a quarter of an hour.
    Full,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run {
            form,
            only,
            agent,
            target,
            out,
        } => run(form, &only, &agent, &target, &out),
        Command::Reference {
            containers,
            address,
            key,
        } => log_files(&containers)
            .map_err(Into::into)
            .and_then(|files| reference::run(&files, &address, &key, BATCH_BYTES))
            .map(|()| true),
        Command::Flood { address } => sinking::flood(&address).map(|()| true),
        Command::Gzip { bodies } => gzip::alone(&bodies).map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

type Experiment<'a> = (String, Box<dyn Fn(&Bench<'_>) -> Result<Vec<Figure>> + 'a>);

fn run(form: Form, only: &str, agent: &Path, target: &Path, out: &Path) -> Result<bool> {
    let setup = Setup::new(agent)?;
    let sink = Sink::start()?;
    let mut peers = peer::found(target);
    if form == Form::Short {
        peers.truncate(1);
    }
    let corpora = target.join("bench/corpus");
    std::fs::create_dir_all(&corpora)?;
    let bench = Bench {
        setup: &setup,
        sink: &sink,
        peers: &peers,
        corpora: std::fs::canonicalize(corpora)?,
    };
    let mut figures = Vec::new();
    for (name, experiment) in experiments(form) {
        if !name.starts_with(only) {
            continue;
        }
        println!("\n{name}");
        for figure in experiment(&bench).with_context(|| format!("{name}, see above"))? {
            println!("  {figure}");
            figures.push(figure);
        }
    }
    let gates = gate::judge(&gate::kept()?, &figures);
    println!();
    for verdict in &gates {
        let (word, kept) = match (verdict.gate.at_least, verdict.gate.at_most) {
            (Some(kept), _) => ("at least", kept),
            (None, kept) => ("at most", kept.unwrap_or_default()),
        };
        let held = if verdict.held { "held  " } else { "FAILED" };
        println!(
            "{held} {} is {:.3}; {word} {kept} within {:.0} %",
            verdict.gate.figure,
            verdict.median,
            verdict.gate.margin * 100.0
        );
    }
    let report = Report {
        machine: Machine::here(),
        form: if form == Form::Short { "short" } else { "full" },
        peers: peers
            .iter()
            .map(|peer| (peer.name, peer.version()))
            .collect(),
        figures,
        gates,
    };
    report.write(out)?;
    Ok(report.held())
}

fn spec(shape: Shape, files: usize, bytes: u64) -> Spec {
    Spec {
        shape,
        files,
        bytes,
        seed: SEED,
    }
}

fn experiments(form: Form) -> Vec<Experiment<'static>> {
    match form {
        Form::Short => short(),
        Form::Full => full(),
    }
}

fn backlog_of(
    shape: Shape,
    files: usize,
    bytes: u64,
    rounds: usize,
    peer_rounds: usize,
) -> Experiment<'static> {
    let plan = backlog::Plan {
        spec: spec(shape, files, bytes),
        rounds,
        peer_rounds,
    };
    let name = format!("backlog/{}/{files}-files", shape.name());
    (name, Box::new(move |bench| backlog::measure(bench, plan)))
}

fn pace_of(span: u64, age_max: &'static str) -> Experiment<'static> {
    let plan = pace::Plan {
        containers: 100,
        lines_per_second: 10_000,
        span: Duration::from_secs(span),
        age_max,
    };
    (
        format!("pace/max-age-{age_max}"),
        Box::new(move |bench| pace::measure(bench, plan)),
    )
}

fn quiet_of(containers: u64, span: u64) -> Experiment<'static> {
    let span = Duration::from_secs(span);
    (
        "quiet".to_owned(),
        Box::new(move |bench| quiet::measure(bench, containers, span)),
    )
}

fn short() -> Vec<Experiment<'static>> {
    vec![
        (
            "sink".to_owned(),
            Box::new(|bench| sinking::measure(bench, 1)),
        ),
        backlog_of(Shape::Plain120, 1, 128 * MIB, 3, 1),
        backlog_of(Shape::Escaped400, 1, 128 * MIB, 3, 1),
        backlog_of(Shape::Pieces16k, 1, 128 * MIB, 3, 1),
        pace_of(10, "1s"),
        quiet_of(1000, 10),
    ]
}

fn full() -> Vec<Experiment<'static>> {
    let mut experiments: Vec<Experiment<'static>> = vec![(
        "sink".to_owned(),
        Box::new(|bench| sinking::measure(bench, 3)),
    )];
    for shape in Shape::ALL {
        let compared = matches!(
            shape,
            Shape::Plain120 | Shape::Escaped400 | Shape::Pieces16k
        );
        let (rounds, peer_rounds) = if compared { (5, 2) } else { (3, 0) };
        experiments.push(backlog_of(shape, 1, 256 * MIB, rounds, peer_rounds));
        experiments.push(backlog_of(shape, 50, 256 * MIB, 3, 0));
    }
    let many = spec(Shape::Plain120, 50, 256 * MIB);
    experiments.push((
        "pipelines".to_owned(),
        Box::new(move |bench| pair::pipelines(bench, many, 5)),
    ));
    let lines = spec(Shape::Plain120, 1, 256 * MIB);
    experiments.push((
        "tls".to_owned(),
        Box::new(move |bench| pair::tls(bench, lines, 3)),
    ));
    experiments.push((
        "gzip".to_owned(),
        Box::new(move |bench| gzip::measure(bench, lines, 3)),
    ));
    experiments.push(pace_of(30, "1s"));
    experiments.push(pace_of(20, "100ms"));
    experiments.push(quiet_of(1000, 30));
    experiments.push((
        "footprint".to_owned(),
        Box::new(move |bench| footprint::measure(bench, lines, 10 * GIB, 50)),
    ));
    experiments.push((
        "crowd".to_owned(),
        Box::new(move |bench| crowd::measure(bench, lines, 4 * GIB, 100, 10_000, 2)),
    ));
    experiments.push((
        "gentle".to_owned(),
        Box::new(move |bench| gentle::measure(bench, lines, 6)),
    ));
    experiments
}
