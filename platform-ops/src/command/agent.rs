//! `agent`: the log agent's own answers, and a pause for it.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Consent, Plan};
use crate::service::Service;
use crate::session::Session;
use crate::settings::Names;
use crate::stack::{Action, Observed};

/// Where its image has its configuration.
const CONFIG: &str = "/etc/platform-agent/agent.toml";
const HEALTHY_SECONDS_MAX: u64 = 120;

/// Arguments of `agent`.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What to ask of it.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// What it does, how far behind it is, and what it lost
    Status,
    /// Its own check of credentials, log and rotation
    Check,
    /// Stop it until --resume: Docker keeps the logs meanwhile, as far as rotation lets it
    #[command(
        after_help = "Examples:\n  platform-ops agent pause --yes\n  platform-ops agent pause --resume"
    )]
    Pause {
        /// Let it go on, from its checkpoint
        #[arg(long)]
        resume: bool,
    },
}

/// Carries it out.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Status => ask(session, "status").await,
        Command::Check => ask(session, "check").await,
        Command::Pause { resume } => pause(session, *resume).await,
    }
}

/// The name of its container.
fn container(names: &Names) -> anyhow::Result<String> {
    names.containers.get(&Service::Agent).cloned().ok_or_else(|| {
        Failure::refused("the log agent is not in use here")
            .try_next("set PLATFORM_AGENT=on in platform.env, fill config/agent/, then platform-ops up agent")
            .into()
    })
}

/// Passes a question on; its answer and exit code are the agent's own.
async fn ask(session: &Session, question: &str) -> anyhow::Result<Exit> {
    let name = container(&Names::load(session)?)?;
    let mut command = vec!["/platform-agent", question, "--config", CONFIG];
    if session.options.json {
        command.push("--json");
    }
    let output = session.engine().await?.exec(&name, &command, "").await?;
    if !output.stdout.is_empty() {
        session.output.text(&session.redactor.clean(&output.stdout));
    }
    if !output.stderr.is_empty() {
        session
            .output
            .note(session.redactor.clean(&output.stderr).trim_end());
    }
    Ok(Exit::of_code(output.code))
}

async fn pause(session: &Session, resume: bool) -> anyhow::Result<Exit> {
    let _lock = session.lock("agent pause")?;
    let names = Names::load(session)?;
    let container = container(&names)?;
    let observed = Observed::look(session, &names).await?;
    let running = observed
        .one(Service::Agent)
        .map(crate::container::Container::is_running);
    let running = running.ok_or_else(|| {
        Failure::refused(format!("container {container} is not there"))
            .try_next("platform-ops up agent")
    })?;
    let mut plan = Plan::new(if resume {
        "agent pause --resume"
    } else {
        "agent pause"
    });
    let service = Service::Agent;
    if resume && !running {
        plan.push(Action::Start {
            service,
            container: container.clone(),
        });
        plan.push(Action::Healthy {
            service,
            container,
            seconds_max: HEALTHY_SECONDS_MAX,
        });
    } else if !resume && running {
        plan.push(Action::Stop { service, container });
        plan.note("go on with: platform-ops agent pause --resume");
        plan.require(Consent::Yes);
    }
    plan.carry_out(session).await
}
