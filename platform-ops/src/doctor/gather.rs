//! Looks at everything once. What cannot be looked at becomes a gap, never an end.

mod backup;
mod configuration;
mod machine;
mod remote;
mod servers;

pub use remote::gather_remote;
pub use servers::ask_postgres_settings;

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;

use super::{BackupFacts, Facts, LogFacts};
use crate::container::{Container, LABEL_WORKING_DIR};
use crate::image::ImageLock;
use crate::plan::{Effect, Plan};
use crate::service::Service;
use crate::session::Session;
use crate::settings::{Names, Settings};
use crate::stack::{self, Action, Observed};

/// Gathers the facts.
pub async fn gather(session: &Session) -> Facts {
    let mut facts = Facts {
        at: Timestamp::now(),
        root: session.root.path().to_owned(),
        gaps: Vec::new(),
        engine: None,
        compose_version: None,
        host: machine::host(session),
        names: None,
        environment: None,
        rotation: None,
        files: Vec::new(),
        images: ImageLock::load(session).unwrap_or_default(),
        network_driver: None,
        containers: BTreeMap::new(),
        outdated: Vec::new(),
        neighbours: Vec::new(),
        logs: BTreeMap::new(),
        image_architectures: BTreeMap::new(),
        unknown_waivers: Vec::new(),
        refused_secrets: Vec::new(),
        memory: BTreeMap::new(),
        agent_check: None,
        bucket_error: None,
        postgres: None,
        redis: None,
        pooler: None,
        agent: None,
        agent_credentials: configuration::credentials(session),
        backup: BackupFacts::default(),
    };
    if let Err(error) = backup::gather(session, &mut facts.backup) {
        gap(session, &mut facts, "backups", &error);
    }
    let settings = configuration::gather(session, &mut facts);
    facts.names = settings
        .as_ref()
        .map(|settings| settings.names.clone())
        .or_else(|| Names::load(session).ok());
    machine::compose(session, &mut facts).await;
    match machine::engine(session).await {
        Ok(engine) => {
            machine::data_root(&engine, &mut facts);
            facts.engine = Some(engine);
        }
        Err(error) => {
            gap(session, &mut facts, "engine", &error);
            return facts;
        }
    }
    if let Err(error) = containers(session, &mut facts).await {
        gap(session, &mut facts, "containers", &error);
    }
    if let Some(settings) = &settings {
        configuration::exposed(settings, &mut facts);
        match outdated(session, settings).await {
            Ok(outdated) => facts.outdated = outdated,
            Err(error) => gap(session, &mut facts, "compose.yaml", &error),
        }
    }
    machine::labels(&mut facts);
    memory(session, &mut facts).await;
    servers::gather(session, settings.as_ref(), &mut facts).await;
    facts
}

/// Bytes in use, by service; where the engine does not say, nothing is said.
async fn memory(session: &Session, facts: &mut Facts) {
    let Ok(engine) = session.engine().await else {
        return;
    };
    let running = facts.containers.iter().filter_map(|(service, containers)| {
        let container = containers.first().filter(|it| it.is_running())?;
        Some((*service, container.name.clone()))
    });
    let asked = running.map(|(service, name)| async move {
        Some((service, engine.memory_bytes(&name).await.ok()?))
    });
    let answers = futures_util::future::join_all(asked).await;
    facts.memory = answers.into_iter().flatten().collect();
}

/// Notes what could not be looked at.
fn gap(session: &Session, facts: &mut Facts, what: &str, error: &anyhow::Error) {
    facts.gaps.push((
        what.to_owned(),
        session.redactor.clean(&format!("{error:#}")),
    ));
}

async fn containers(session: &Session, facts: &mut Facts) -> anyhow::Result<()> {
    let engine = session.engine().await?;
    let all = engine.containers().await?;
    let apps = session.root.apps();
    let Some(names) = facts.names.clone() else {
        return Ok(());
    };
    let network = engine.network(&names.network).await?;
    facts.network_driver = network.and_then(|network| Some(network["Driver"].as_str()?.to_owned()));
    let belongs = |container: &Container| {
        container.networks.contains_key(&names.network)
            || container
                .label(LABEL_WORKING_DIR)
                .is_some_and(|folder| Path::new(folder).starts_with(&apps))
            || names
                .containers
                .values()
                .any(|name| *name == container.name)
    };
    facts.neighbours = all.into_iter().filter(belongs).collect();
    match Observed::look(session, &names).await {
        Ok(observed) => facts.containers = observed.containers,
        Err(error) => gap(session, facts, "containers", &error),
    }
    for container in &facts.neighbours {
        if let Some(log) = log(container) {
            facts.logs.insert(container.name.clone(), log);
        }
    }
    for (service, containers) in &facts.containers {
        if let Some(container) = containers.first()
            && let Some(image) = engine.image(&container.image_id).await?
        {
            facts.image_architectures.insert(
                *service,
                image["Architecture"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
    }
    Ok(())
}

/// Size and age of a container's log, where root may look.
fn log(container: &Container) -> Option<LogFacts> {
    let current = Path::new(&container.log_path);
    let mut bytes = std::fs::metadata(current).ok()?.len();
    let mut oldest = current.to_owned();
    for number in 1.. {
        let rotated = std::path::PathBuf::from(format!("{}.{number}", current.display()));
        let Ok(metadata) = std::fs::metadata(&rotated) else {
            break;
        };
        bytes += metadata.len();
        oldest = rotated;
    }
    let begin = first_time(&oldest)?;
    let seconds = Timestamp::now().as_second() - begin.as_second();
    Some(LogFacts {
        bytes,
        seconds: u64::try_from(seconds).ok()?,
    })
}

/// The time of a log's first line.
fn first_time(path: &Path) -> Option<Timestamp> {
    use std::io::{BufRead, BufReader, Read};
    // A line is 16 KiB of text at most, escaped.
    let file = std::fs::File::open(path).ok()?.take(256 * 1024);
    let mut line = String::new();
    BufReader::new(file).read_line(&mut line).ok()?;
    let line: serde_json::Value = serde_json::from_str(&line).ok()?;
    line["time"].as_str()?.parse().ok()
}

/// The services that `up` would recreate.
async fn outdated(session: &Session, settings: &Settings) -> anyhow::Result<Vec<Service>> {
    let mut plan = Plan::new("up");
    let layout = stack::layout(session, settings, &mut plan)?;
    stack::plan_up(session, settings, &layout, &settings.managed(), &mut plan).await?;
    let recreated = plan.actions().filter_map(|action| match action {
        Action::Up {
            service,
            effect: Effect::Recreate,
            ..
        } => Some(*service),
        _ => None,
    });
    Ok(recreated.collect())
}
