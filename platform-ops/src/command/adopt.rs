//! `adopt`: takes over a running host.

use std::collections::BTreeMap;

use anyhow::Context as _;

use crate::adoption::{self, Action};
use crate::container::{LABEL_CONFIG_FILES, LABEL_WORKING_DIR};
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Consent, Plan};
use crate::rotation::Journal;
use crate::service::Service;
use crate::session::Session;
use crate::settings::Settings;
use crate::stack;

/// Arguments of `adopt`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops adopt --dry-run          what would be written; \"0 containers recreated\"
  platform-ops adopt                    write it: no container is touched
  platform-ops adopt --take redis       later, in a window: let the stack run Redis

Everything that runs keeps its name, role, port and data path. The old way of starting it works on.
--take checks data path, image, cluster identity and Redis' append-only file first. The old container
is set aside until the new one is healthy and serves the same data; else it is brought back.")]
pub struct Arguments {
    /// The container of PostgreSQL, where several look like it
    #[arg(long, value_name = "CONTAINER")]
    postgres: Option<String>,
    /// The container of Redis
    #[arg(long, value_name = "CONTAINER")]
    redis: Option<String>,
    /// The container of PgBouncer
    #[arg(long, value_name = "CONTAINER")]
    pgbouncer: Option<String>,
    /// The container of the log agent
    #[arg(long, value_name = "CONTAINER")]
    agent: Option<String>,
    /// The shared network
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// Let the stack run this adopted service: its container is made anew
    #[arg(long, value_enum, value_name = "SERVICE", conflicts_with_all = ["postgres", "redis", "pgbouncer", "agent", "network"])]
    take: Option<Service>,
}

/// Takes over the host, or one service.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("adopt")?;
    Journal::refuse_unfinished(session)?;
    match arguments.take {
        Some(service) => take(session, service).await,
        None => record(session, arguments).await,
    }
}

async fn record(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let path = session.root.platform_env();
    let exists = path.exists();
    let environment = if exists {
        Environment::load(session)?
    } else {
        Environment::parse("")?
    };
    let named = named(arguments, &environment);
    let network = arguments
        .network
        .as_deref()
        .or_else(|| environment.get("PLATFORM_NETWORK"));
    let found = adoption::discover(session, &named, network).await?;
    if found.containers.is_empty() {
        return Err(Failure::refused(
            "no container here runs PostgreSQL, Redis or PgBouncer outside of the stack",
        )
        .try_next("platform-ops init on an empty host; --postgres NAME if it hides")
        .into());
    }
    let (environment, keys, notes) = adoption::record(session, &found, environment).await?;
    let settings = Settings::of(environment.clone())?;
    let mut plan = Plan::new("adopt");
    let change = (!keys.is_empty()).then_some(stack::Action::Environment {
        path,
        exists,
        keys,
        environment,
    });
    lay_out(session, &settings, change, &mut plan)?;
    for (service, container) in &found.containers {
        plan.note(format!(
            "{service} is container {}; it stays as it is",
            container.name
        ));
    }
    for note in notes {
        plan.note(note);
    }
    plan.note("next: platform-ops doctor, then, in a window, platform-ops adopt --take SERVICE");
    plan.carry_out(session).await
}

/// The operator's answers, and what an earlier run found.
fn named(arguments: &Arguments, environment: &Environment) -> BTreeMap<Service, String> {
    let answers = [
        (Service::Postgres, &arguments.postgres),
        (Service::Redis, &arguments.redis),
        (Service::Pgbouncer, &arguments.pgbouncer),
        (Service::Agent, &arguments.agent),
    ];
    let mut named: BTreeMap<Service, String> = answers
        .into_iter()
        .filter_map(|(service, name)| Some((service, name.clone()?)))
        .collect();
    for service in Service::ALL {
        let list = environment.get("PLATFORM_ADOPTED");
        let adopted =
            list.is_some_and(|list| list.split(',').any(|name| name.trim() == service.name()));
        if let Some(name) = environment
            .get(&service.key("CONTAINER"))
            .filter(|_| adopted)
        {
            named.entry(service).or_insert_with(|| name.to_owned());
        }
    }
    named
}

/// Folders that are missing, platform.env, then what is derived from it. What was made by hand
/// keeps its owner and mode; doctor speaks of it.
fn lay_out(
    session: &Session,
    settings: &Settings,
    change: Option<stack::Action>,
    plan: &mut Plan<Action>,
) -> anyhow::Result<()> {
    let mut steps = Plan::new("adopt");
    stack::layout(session, settings, &mut steps)?;
    let (folders, files): (Vec<_>, Vec<_>) = steps
        .actions()
        .cloned()
        .partition(|step| matches!(step, stack::Action::Folder { .. }));
    let missing = folders
        .into_iter()
        .filter(|folder| matches!(folder, stack::Action::Folder { exists: false, .. }));
    for step in missing.chain(change).chain(files) {
        plan.push(Action::Stack(step));
    }
    Ok(())
}

async fn take(session: &Session, service: Service) -> anyhow::Result<Exit> {
    let settings = Settings::load(session)?;
    let name = settings
        .names
        .containers
        .get(&service)
        .with_context(|| Failure::usage(format!("{service} is not in use here")))?
        .clone();
    let kept = format!("{name}{}", adoption::KEPT_SUFFIX);
    let engine = session.engine().await?;
    let current = engine.container(&name).await?;
    let old = engine.container(&kept).await?;
    let stack_dir = session.root.stack().display().to_string();
    let is_ours = current
        .as_ref()
        .is_some_and(|container| container.label(LABEL_WORKING_DIR) == Some(&stack_dir));
    if is_ours && old.is_none() {
        return nothing(session, service);
    }
    let mut plan = Plan::new("adopt");
    plan.require(Consent::Yes);
    let mut identity = None;
    match &current {
        Some(container) if !is_ours => {
            let take = adoption::precheck(session, &settings, service, container).await?;
            identity = take.identity;
            if take.append_only_first {
                plan.push(Action::AppendOnly {
                    container: name.clone(),
                });
            }
            for note in take.notes {
                plan.note(note);
            }
            plan.push(Action::SetAside {
                service,
                container: name.clone(),
                kept: kept.clone(),
            });
        }
        // A run that was killed after it had set the old one aside.
        _ if old.is_some() => {}
        _ => {
            return Err(Failure::refused(format!("there is no container {name}"))
                .try_next("platform-ops up")
                .into());
        }
    }
    hand_over(session, &settings, service, &mut plan)?;
    let why = format!("taken over from {kept}");
    plan.push(Action::Bring {
        service,
        container: name,
        kept,
        why,
        identity,
    });
    let files = current
        .as_ref()
        .and_then(|container| container.label(LABEL_CONFIG_FILES))
        .filter(|_| !is_ours);
    if let Some(file) = files {
        plan.note(format!(
            "take {service} out of {file}: started from there it would stop at the container's name"
        ));
    }
    plan.note("the log of the old container goes with it");
    plan.carry_out(session).await
}

/// What there is to say when nothing is left to take.
fn nothing(session: &Session, service: Service) -> anyhow::Result<Exit> {
    let plan = serde_json::json!({"command": "adopt", "steps": []});
    session.output.result("applied", &plan, || {
        format!("{service} is run by the stack already")
    });
    Ok(Exit::OK)
}

/// platform.env no longer names the service as adopted; its files are derived, the hand-made ones
/// kept beside them.
fn hand_over(
    session: &Session,
    settings: &Settings,
    service: Service,
    plan: &mut Plan<Action>,
) -> anyhow::Result<()> {
    let left: Vec<&str> = settings
        .names
        .adopted
        .iter()
        .filter(|other| **other != service)
        .map(|service| service.name())
        .collect();
    let environment = settings
        .environment
        .with("PLATFORM_ADOPTED", &left.join(","))?;
    let taken = Settings::of(environment.clone())?;
    let path = session.root.platform_env();
    plan.push(Action::Stack(stack::Action::Environment {
        path,
        exists: true,
        keys: vec!["PLATFORM_ADOPTED".to_owned()],
        environment,
    }));
    let mut files = Plan::new("adopt");
    stack::layout(session, &taken, &mut files)?;
    for step in files.actions() {
        if let stack::Action::File { path, .. } = step
            && path.exists()
            && path.starts_with(session.root.config())
        {
            plan.push(Action::KeepFile { path: path.clone() });
        }
        plan.push(Action::Stack(step.clone()));
    }
    Ok(())
}
