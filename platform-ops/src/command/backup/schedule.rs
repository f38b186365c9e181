//! `backup schedule`: what starts backups.

use std::path::PathBuf;

use clap::Subcommand;
use jiff::ZonedDateTime;
use serde::Serialize;

use crate::backup::alarm;
use crate::backup::config::Config;
use crate::backup::journal::Journal;
use crate::backup::schedule::install::{self, Host};
use crate::backup::schedule::unit::Starter;
use crate::backup::schedule::{Described, Due, both_zones, local};
use crate::crontab;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Arguments of `backup schedule`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops backup schedule install --dry-run   what would be written, and where
  platform-ops backup schedule install             a timer of systemd
  platform-ops backup schedule install --cron      a file in /etc/cron.d instead
  platform-ops backup schedule show

When: [schedule] of config/backup.toml, in the host's zone; install again after a change.
  window = \"02:00-05:00\"                    a run begins here, and is tried again each hour of it
  trading_hours = [\"Mon-Fri 08:00-22:00\"]   a missed run waits until they end

/srv/apps/backup.sh, where there is one, becomes a shim with the same meaning of its exit code, and
is kept beside it. A crontab that starts it is found: --replace-cron makes its line a comment, so
that not both run. `remove` brings back what was there.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The host's file system, where it is that of an image being built
    #[arg(long, value_name = "DIR", default_value = "/", global = true)]
    host_root: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Have a timer (or cron) start backups
    Install {
        /// A file in /etc/cron.d instead of a timer
        #[arg(long)]
        cron: bool,
        /// Make a crontab's lines that start the manual's script comments
        #[arg(long)]
        replace_cron: bool,
    },
    /// What starts backups, when, and what the last run came to
    Show,
    /// Have nothing start backups, and bring back what was there before
    Remove,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    schedule: Described,
    started_by: Vec<&'static str>,
    crontab_lines: Vec<String>,
    now: String,
    next: String,
    is_due: bool,
    last_set: Option<String>,
    alarms: Vec<alarm::Alarm>,
}

/// Runs a `backup schedule` command.
///
/// # Errors
/// What made it fail.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let host = Host(arguments.host_root.clone());
    match &arguments.command {
        Command::Show => show(session, &host),
        Command::Remove => {
            let _lock = session.lock("backup schedule remove")?;
            install::remove(&session.root, &host)?
                .carry_out(session)
                .await
        }
        Command::Install { cron, replace_cron } => {
            let _lock = session.lock("backup schedule install")?;
            let config = Config::load(&session.root)?;
            // A timer that can only fail helps nobody.
            if config.bucket.is_none() && config.directory.is_none() {
                return Err(Failure::refused("no destination for backups is configured")
                    .try_next("[bucket] name = \"…\" in config/backup.toml, then `platform-ops backup create`")
                    .into());
            }
            let starter = if *cron {
                Starter::Cron
            } else {
                Starter::Systemd
            };
            if starter == Starter::Systemd && !host.has_systemd() {
                return Err(Failure::refused("systemd does not run here")
                    .try_next("--cron")
                    .into());
            }
            let root = &session.root;
            let mut plan = install::install(root, &config.schedule, &host, starter, *replace_cron)?;
            let now = ZonedDateTime::now();
            let next = config.schedule.window_after(&now);
            plan.note(format!("the next window begins at {}", both_zones(&next)));
            plan.carry_out(session).await
        }
    }
}

fn show(session: &Session, host: &Host) -> anyhow::Result<Exit> {
    let schedule = Config::load(&session.root)?.schedule;
    let journal = Journal::load(&session.root)?;
    let now = ZonedDateTime::now();
    let due = schedule.due(&now, journal.made.as_ref().map(|made| made.created));
    let name = |starter| match starter {
        Starter::Systemd => "systemd",
        Starter::Cron => "cron",
    };
    let shown = Shown {
        schedule: schedule.describe(&now),
        started_by: host.starters().into_iter().map(name).collect(),
        crontab_lines: crontab::backup_lines(&host.0)
            .into_iter()
            .map(|line| format!("{}: {}", line.file.display(), line.text))
            .collect(),
        now: both_zones(&now),
        next: match &due {
            Due::Now { .. } => "now".to_owned(),
            Due::No { next } => both_zones(next),
            Due::Held { until } => both_zones(until),
        },
        is_due: !matches!(due, Due::No { .. }),
        last_set: journal
            .made
            .as_ref()
            .map(|made| format!("{} at {}", made.set, local(made.created))),
        alarms: alarm::alarms(&journal, &schedule, now.timestamp()),
    };
    session
        .output
        .result("backup_schedule", &shown, || text(&shown));
    let scheduled = shown.started_by.len() == 1 && shown.crontab_lines.is_empty();
    Ok(match scheduled && shown.alarms.is_empty() {
        true => Exit::OK,
        false => Exit::WARNINGS,
    })
}

fn text(shown: &Shown) -> String {
    let by = match &shown.started_by[..] {
        [] => "nothing: platform-ops backup schedule install".to_owned(),
        by => by.join(" AND "),
    };
    let last = shown.last_set.as_deref().unwrap_or("none");
    let mut text = format!(
        "started by  {by}\nwindow      {} ({})\ntrading     {}\nnow         {}\nnext        {}\nlast set    {last}\n",
        shown.schedule.window,
        shown.schedule.zone,
        shown.schedule.trading_hours.join(", "),
        shown.now,
        shown.next,
    );
    for line in &shown.crontab_lines {
        text += &format!("crontab     {line}\n");
    }
    for alarm in &shown.alarms {
        text += &format!("alarm       {}\n", alarm.text);
    }
    text
}
