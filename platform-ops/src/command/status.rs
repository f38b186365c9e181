//! `status`: one screen, and what changed since the last look.

use std::io::IsTerminal;
use std::time::Duration;

use jiff::Timestamp;

use crate::doctor::{self, Waivers};
use crate::exit::Exit;
use crate::file::{self, Access};
use crate::session::Session;
use crate::settings::Names;
use crate::status::{Status, screen};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops status
  platform-ops status --watch
  platform-ops status --json | jq '.services[] | {service, state, health}'

Exit codes: 0 every service is healthy, 3 one is not, or doctor has findings. Members of the docker
group see what needs no secret.")]
pub struct Arguments {
    /// Look again every few seconds until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    /// Time between two looks
    #[arg(long, value_name = "TIME", default_value = "5s", requires = "watch")]
    interval: humantime::Duration,
}

/// Shows it, once or again and again.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    if !session.root.platform_env().exists() {
        // Says that there is no platform, and what to do, unless this user just may not look.
        Names::load(session)?;
    }
    let waivers = Waivers::load(session)?;
    let mut last = load_last(session);
    loop {
        let facts = doctor::gather(session).await;
        let report = doctor::examine(&facts, &waivers, Timestamp::now());
        let status = Status::of(&facts, &report, last.as_ref());
        session.output.result("status", &status, || {
            let clear = if arguments.watch && std::io::stdout().is_terminal() {
                "\x1b[2J\x1b[H"
            } else {
                ""
            };
            format!(
                "{clear}{}",
                session.redactor.clean(&screen(session.output, &status))
            )
        });
        if !arguments.watch {
            save_last(session, &status);
            let well = status.is_well() && status.faults == 0 && status.warnings == 0;
            return Ok(if well { Exit::OK } else { Exit::WARNINGS });
        }
        last = Some(status);
        tokio::select! {
            () = tokio::time::sleep(Duration::from(arguments.interval)) => {}
            () = session.interrupt.wait() => {
                if let Some(status) = &last {
                    save_last(session, status);
                }
                return Ok(Exit::OK);
            }
        }
    }
}

fn load_last(session: &Session) -> Option<Status> {
    let text = std::fs::read_to_string(session.root.last_status()).ok()?;
    // One of another version is as good as none.
    serde_json::from_str(&text).ok()
}

/// Only root may; a look that is not remembered is still a look.
fn save_last(session: &Session, status: &Status) {
    if let Ok(text) = serde_json::to_string(status) {
        let _ = file::replace(
            &session.root.last_status(),
            text.as_bytes(),
            Access::root(0o644),
        );
    }
}
