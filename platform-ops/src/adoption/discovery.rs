//! Which container is which: by what it runs and where its data are mounted. Never a guess: two
//! that match are a question to the operator.

use std::collections::BTreeMap;
use std::path::Path;

use crate::container::{Container, LABEL_WORKING_DIR};
use crate::failure::Failure;
use crate::service::Service;
use crate::session::Session;

/// The containers that run the platform, and their network.
#[derive(Debug)]
pub struct Found {
    /// By service; those that the stack itself started are not among them.
    pub containers: BTreeMap<Service, Container>,
    /// The network that they share.
    pub network: String,
}

/// What a taken service's old container is called.
pub const KEPT_SUFFIX: &str = "-before-adopt";

/// Looks for the platform's containers. `named` are the operator's answers.
///
/// # Errors
/// When two containers match, one that was named is not there, or they share no network.
pub async fn discover(
    session: &Session,
    named: &BTreeMap<Service, String>,
    network: Option<&str>,
) -> anyhow::Result<Found> {
    let all = session.engine().await?.containers().await?;
    let stack = session.root.stack().display().to_string();
    let is_foreign = |container: &&Container| {
        container.label(LABEL_WORKING_DIR) != Some(&stack) && !container.name.ends_with(KEPT_SUFFIX)
    };
    let foreign: Vec<&Container> = all.iter().filter(is_foreign).collect();
    let mut containers = BTreeMap::new();
    for service in Service::ALL {
        let matching: Vec<&Container> = match named.get(&service) {
            Some(name) => foreign
                .iter()
                .copied()
                .filter(|container| container.name == *name)
                .collect(),
            None => foreign
                .iter()
                .copied()
                .filter(|container| {
                    let is_ours = match service {
                        // It has a network of its own.
                        Service::Agent => is_kept_under(session.root.path(), container),
                        _ => on(network, container),
                    };
                    container.is_running() && runs(service, container) && is_ours
                })
                .collect(),
        };
        match (matching.as_slice(), named.get(&service)) {
            ([container], _) => drop(containers.insert(service, (*container).clone())),
            ([], Some(name)) => {
                return Err(Failure::usage(format!(
                    "there is no container {name} outside of the stack"
                ))
                .try_next("docker ps -a")
                .into());
            }
            ([], None) => {}
            (several, _) => {
                let names: Vec<&str> = several
                    .iter()
                    .map(|container| container.name.as_str())
                    .collect();
                let what = format!(
                    "several containers look like {service}: {}",
                    names.join(", ")
                );
                return Err(Failure::refused(what)
                    .try_next(format!("say which: --{service} NAME"))
                    .into());
            }
        }
    }
    let network = shared_network(&containers, network)?;
    Ok(Found {
        containers,
        network,
    })
}

fn on(network: Option<&str>, container: &Container) -> bool {
    network.is_none_or(|network| container.networks.contains_key(network))
}

/// Whether a container has its state or configuration under the root.
fn is_kept_under(root: &Path, container: &Container) -> bool {
    let mut mounts = container.mounts.iter();
    mounts.any(|mount| Path::new(&mount.source).starts_with(root))
}

/// Whether a container runs this service: its program says so, and its mount.
fn runs(service: Service, container: &Container) -> bool {
    let words = || {
        container
            .entrypoint
            .iter()
            .chain(&container.command)
            .map(String::as_str)
    };
    let program = |name: &str| words().any(|word| word.rsplit('/').next() == Some(name));
    match service {
        Service::Postgres => {
            program("postgres") && container.mount_at("/var/lib/postgresql/data").is_some()
        }
        Service::Redis => {
            (program("redis-server") || container.env.contains_key("REDIS_ARGS"))
                && container.mount_at("/data").is_some()
        }
        Service::Pgbouncer => program("pgbouncer"),
        Service::Agent => program("platform-agent"),
    }
}

fn shared_network(
    containers: &BTreeMap<Service, Container>,
    wanted: Option<&str>,
) -> anyhow::Result<String> {
    const MANUAL: &str = "central-data-platform";
    if let Some(network) = wanted {
        return Ok(network.to_owned());
    }
    // The agent has a network of its own.
    let others = || {
        let others = containers
            .iter()
            .filter(|(service, _)| **service != Service::Agent);
        others.map(|(_, container)| container)
    };
    let networks: Vec<&String> = others()
        .flat_map(|container| container.networks.keys())
        .collect();
    let shared =
        |network: &&&String| others().all(|container| container.networks.contains_key(**network));
    let mut candidates: Vec<&str> = networks
        .iter()
        .filter(shared)
        .map(|network| network.as_str())
        .collect();
    candidates.dedup();
    candidates.sort_unstable();
    candidates.dedup();
    match candidates.as_slice() {
        _ if candidates.contains(&MANUAL) => Ok(MANUAL.to_owned()),
        [network] => Ok((*network).to_owned()),
        [] => Err(Failure::refused("the containers share no network")
            .try_next("--network NAME, and connect them to it")
            .into()),
        several => Err(Failure::refused(format!(
            "the containers share several networks: {}",
            several.join(", ")
        ))
        .try_next("--network NAME")
        .into()),
    }
}
