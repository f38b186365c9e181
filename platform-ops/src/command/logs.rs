//! `logs`: by service, several at once.

mod line;

use anyhow::Context as _;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::{StreamExt as _, stream};
use jiff::{Timestamp, ToSpan as _};

use self::line::{Line, in_order, lines};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::settings::Names;

/// Told apart at a glance; the name says the same.
const COLORS: [&str; 6] = ["36", "33", "35", "32", "34", "31"];

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops logs postgres
  platform-ops logs -f postgres pgbouncer
  platform-ops logs --since 2h trading-app-distributor-1
  platform-ops logs --path redis        where Docker keeps it

Lines of several stand in the order of their times; with -f, in the order in which they come.")]
pub struct Arguments {
    /// Services of the platform, or containers by name [default: all services]
    #[arg(value_name = "SERVICE")]
    names: Vec<String>,
    /// Go on as lines come
    #[arg(long, short)]
    follow: bool,
    /// Only what is newer: a duration (2h) or a time (2026-11-25T10:00:00Z)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only the last lines of each
    #[arg(long, short = 'n', value_name = "LINES", default_value = "200")]
    tail: String,
    /// Print where the log file is instead
    #[arg(long, conflicts_with = "follow")]
    path: bool,
}

/// Prints logs.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let containers = containers(session, &arguments.names)?;
    if arguments.path {
        return paths(session, &containers).await;
    }
    let since = arguments.since.as_deref().map(since).transpose()?;
    let engine = session.engine().await?;
    let width = containers
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    let mut sources = Vec::new();
    for (index, (name, container)) in containers.iter().enumerate() {
        if engine.container(container).await?.is_none() {
            let what = format!("there is no container {container}");
            return Err(Failure::usage(what)
                .try_next("docker ps -a, or one of: postgres, redis, pgbouncer, agent")
                .into());
        }
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .follow(arguments.follow)
            .tail(&arguments.tail)
            .since(since.unwrap_or(0))
            .timestamps(true)
            .build();
        let frames = engine.docker().logs(container, Some(options));
        let label = label(session, index, name, width, containers.len());
        let line = {
            let name = name.clone();
            move |line: anyhow::Result<Line>| (name.clone(), label.clone(), line)
        };
        sources.push(lines(frames).map(line).boxed());
    }
    // What is over is put in order; what comes is shown when it comes.
    let mut all = if arguments.follow {
        stream::select_all(sources).boxed()
    } else {
        in_order(sources).boxed()
    };
    loop {
        tokio::select! {
            line = all.next() => match line {
                Some((name, label, line)) => print(session, &name, &label, &line.context("read the log")?),
                None => return Ok(Exit::OK),
            },
            () = session.interrupt.wait() => return Ok(Exit::INTERRUPTED),
        }
    }
}

fn label(session: &Session, index: usize, name: &str, width: usize, of: usize) -> String {
    if of == 1 {
        return String::new();
    }
    if session.output.has_color() {
        let color = COLORS[index % COLORS.len()];
        return format!("\x1b[{color}m{name:<width$} |\x1b[0m ");
    }
    format!("{name:<width$} | ")
}

fn print(session: &Session, name: &str, label: &str, line: &Line) {
    if session.output.is_json() {
        let body = serde_json::json!({"service": name, "stream": line.stream, "time": line.time, "text": line.text});
        session.output.json_line("log", &body);
    } else {
        session.output.text(&format!("{label}{}", line.text));
    }
}

/// As asked for, and the container's name.
fn containers(session: &Session, wanted: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let names = Names::load(session);
    if wanted.is_empty() {
        let names = names?;
        return Ok(names
            .containers
            .into_iter()
            .map(|(service, name)| (service.name().to_owned(), name))
            .collect());
    }
    let container = |name: &String| {
        let services = names.iter().flat_map(|names| &names.containers);
        let found = services
            .filter(|(service, _)| service.name() == name)
            .map(|(_, container)| container.clone())
            .next();
        (name.clone(), found.unwrap_or_else(|| name.clone()))
    };
    Ok(wanted.iter().map(container).collect())
}

/// Seconds since 1970, as the engine wants them.
fn since(text: &str) -> anyhow::Result<i32> {
    let time = match humantime::parse_duration(text) {
        Ok(ago) => Timestamp::now().checked_sub(i64::try_from(ago.as_secs())?.seconds())?,
        Err(_) => text.parse::<Timestamp>().with_context(|| {
            Failure::usage(format!("--since {text}: neither a duration nor a time"))
        })?,
    };
    i32::try_from(time.as_second())
        .with_context(|| Failure::usage(format!("--since {text}: out of range")))
}

async fn paths(session: &Session, containers: &[(String, String)]) -> anyhow::Result<Exit> {
    let engine = session.engine().await?;
    for (name, container) in containers {
        let found = engine
            .container(container)
            .await?
            .with_context(|| Failure::usage(format!("there is no container {container}")))?;
        let body = serde_json::json!({"service": name, "container": container, "path": found.log_path, "driver": found.log_driver});
        session.output.result("log_path", &body, || {
            if found.log_path.is_empty() {
                format!("{name}: the driver {} keeps no file", found.log_driver)
            } else {
                found.log_path.clone()
            }
        });
    }
    Ok(Exit::OK)
}
