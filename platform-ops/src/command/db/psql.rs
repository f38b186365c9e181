//! `db psql`: the server's own client, in its own container.

use std::io::IsTerminal;
use std::process::Stdio;

use anyhow::Context as _;
use tokio::process::Command;

use crate::backup::psql::connection;
use crate::exit::Exit;
use crate::session::Session;

/// Arguments of `db psql`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops db psql trading_db
  platform-ops db psql trading_db < fix.sql      stops at the first error
  echo 'select 1' | platform-ops db psql trading_db

There is no option for a statement: arguments are seen by every user of the host and published by
the engine. The exit code is psql's: 3 for a statement that failed.")]
pub struct Arguments {
    /// The database
    database: String,
}

/// Carries it out.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    session.require_root("db psql")?;
    let server = super::server(session).await?;
    super::existing(&server, &arguments.database).await?;
    let place = server.place();
    let terminal = std::io::stdin().is_terminal();
    let mut command = Command::new("docker");
    command.args(["exec", "-i"]);
    if terminal {
        command.arg("-t");
    }
    command.args([
        "-e",
        &format!("PGAPPNAME={}", place.application),
        &place.container,
    ]);
    command.args(["psql", "-w", "-v", "ON_ERROR_STOP=1", "-U", &place.user]);
    if !terminal {
        command.args(["-X", "-f", "-"]);
    }
    command.args(["-d", &connection(&arguments.database)]);
    let what = format!("psql in {}", arguments.database);
    if session.options.dry_run {
        let body = serde_json::json!({"command": "db psql", "database": arguments.database});
        session.output.result("plan", &body, || what.clone());
        return Ok(Exit::OK);
    }
    session.audit.record("db psql", &what)?;
    let mut child = command
        .stdin(Stdio::inherit())
        .spawn()
        .context("start docker exec")?;
    let status = child.wait().await.context("wait for psql")?;
    session
        .audit
        .record("db psql", &format!("{what}: ended with {status}"))?;
    Ok(Exit::of_child(status))
}
