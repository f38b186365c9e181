//! `app`: the stacks under `apps/`, each with its own compose file and `.env`.

mod add;

use std::path::PathBuf;

use serde::Serialize;

use crate::application;
use crate::container::LABEL_WORKING_DIR;
use crate::environment::Environment;
use crate::exit::Exit;
use crate::session::Session;

/// Arguments of `app`.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What to do with applications.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Give an application a role, a database, its secret and its entry in the pooler
    Add(add::Arguments),
    /// The applications and what runs of them
    List,
    /// Start an application: docker compose up --detach --wait
    #[command(after_help = "Example:\n  platform-ops app up trading-app -- --build")]
    Up(Target),
    /// Stop an application: docker compose down
    Down(Target),
    /// Run one program of an application: docker compose run --rm
    #[command(
        after_help = "Example:\n  platform-ops app run trading-app migrator alembic upgrade head\n\nThe exit code is the program's own. A signal ends it and removes its container; the code is 130."
    )]
    Run(RunTarget),
}

/// An application and what Compose is told besides.
#[derive(Debug, clap::Args)]
struct Target {
    /// The folder under apps/
    name: String,
    /// For docker compose
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENT"
    )]
    rest: Vec<String>,
}

/// A program of an application.
#[derive(Debug, clap::Args)]
struct RunTarget {
    /// The folder under apps/
    name: String,
    /// The service, its program and arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "SERVICE [ARGUMENT]"
    )]
    rest: Vec<String>,
}

/// An application, for `list`.
#[derive(Debug, Serialize)]
struct App {
    name: String,
    folder: PathBuf,
    running: usize,
    unhealthy: usize,
    containers: Vec<String>,
}

/// Carries it out.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Add(arguments) => add::run(session, arguments).await,
        Command::List => list(session).await,
        Command::Up(target) => {
            compose(
                session,
                &target.name,
                &["up", "--detach", "--wait"],
                &target.rest,
            )
            .await
        }
        Command::Down(target) => compose(session, &target.name, &["down"], &target.rest).await,
        Command::Run(target) => {
            let name = format!("{}-run-{}", target.name, std::process::id());
            let verb = ["run", "--rm", "--name", &name];
            let ended = compose(session, &target.name, &verb, &target.rest).await;
            if session.interrupt.check().is_err() && !session.options.dry_run {
                // Compose leaves its container behind, and the program in it working.
                let engine = session.engine().await?;
                engine.stop(&name).await?;
                engine.remove(&name).await?;
            }
            ended
        }
    }
}

async fn compose(
    session: &Session,
    name: &str,
    verb: &[&str],
    rest: &[String],
) -> anyhow::Result<Exit> {
    let folder = application::folder(session, name)?;
    let mut arguments: Vec<&str> = verb.to_vec();
    arguments.extend(rest.iter().map(String::as_str));
    if session.options.dry_run {
        let env_files = application::env_files(session, &folder);
        let plan = serde_json::json!({"command": "app", "folder": folder, "env_files": env_files, "arguments": arguments});
        session.output.result("plan", &plan, || {
            format!(
                "in {}: docker compose {}",
                folder.display(),
                arguments.join(" ")
            )
        });
        return Ok(Exit::OK);
    }
    session.require_root(&format!("app {}", verb[0]))?;
    // Learns the secrets, and refuses what Compose would refuse, with the line.
    Environment::load(session)?;
    session.audit.record(
        "app",
        &format!("{name}: docker compose {}", arguments.join(" ")),
    )?;
    let status = application::project(session, folder)
        .foreground(session, &arguments)
        .await?;
    session
        .audit
        .record("app", &format!("{name}: ended with {status}"))?;
    if !status.success() {
        // Compose that was interrupted ends with 130 or with 1, as it comes.
        session.interrupt.check()?;
    }
    Ok(Exit::of_child(status))
}

async fn list(session: &Session) -> anyhow::Result<Exit> {
    let mut apps = Vec::new();
    for (name, folder) in application::folders(session)? {
        let engine = session.engine().await?;
        let containers = engine
            .containers_labelled(LABEL_WORKING_DIR, &folder.display().to_string())
            .await?;
        apps.push(App {
            name,
            folder,
            running: containers
                .iter()
                .filter(|container| container.is_running())
                .count(),
            unhealthy: containers
                .iter()
                .filter(|container| container.is_running() && !container.is_healthy())
                .count(),
            containers: containers
                .into_iter()
                .map(|container| container.name)
                .collect(),
        });
    }
    session
        .output
        .result("apps", &serde_json::json!({"apps": apps}), || {
            if apps.is_empty() {
                return format!("no application under {}", session.root.apps().display());
            }
            let line = |app: &App| {
                let unhealthy = if app.unhealthy > 0 {
                    format!(", {} not healthy", app.unhealthy)
                } else {
                    String::new()
                };
                format!(
                    "{:<20} {} of {} running{unhealthy}\n",
                    app.name,
                    app.running,
                    app.containers.len()
                )
            };
            apps.iter().map(line).collect()
        });
    Ok(Exit::OK)
}
