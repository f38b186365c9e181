//! Containers and their images.

use bytesize::ByteSize;

use super::{Facts, Fault, Finding, Note, Warning, finding};
use crate::container::{Container, LABEL_SERVICE};
use crate::service::Service;

const RESTARTS_MAX: i64 = 3;
/// Fast shutdown with its checkpoint takes longer than the engine's 10 s.
const POSTGRES_GRACE_SECONDS_MIN: i64 = 60;

/// The one container of each service.
pub(super) fn each(facts: &Facts) -> impl Iterator<Item = (Service, &Container)> {
    facts
        .containers
        .iter()
        .filter_map(|(service, containers)| Some((*service, containers.first()?)))
}

fn of(facts: &Facts, wanted: Service) -> impl Iterator<Item = &Container> {
    each(facts)
        .filter(move |(service, _)| *service == wanted)
        .map(|(_, container)| container)
}

/// A finding for each service's container that is so.
fn where_so(facts: &Facts, is: impl Fn(&Container) -> Option<Finding>) -> Vec<Finding> {
    each(facts)
        .filter_map(|(service, container)| {
            Some(Finding {
                subject: service.to_string(),
                ..is(container)?
            })
        })
        .collect()
}

pub(super) fn missing(facts: &Facts) -> Vec<Finding> {
    let counted = facts
        .containers
        .iter()
        .map(|(service, containers)| (service, containers.len()));
    counted
        .filter_map(|(service, count)| match count {
            0 => Some(finding(
                Fault,
                service,
                "it has no container",
                format!("platform-ops up {service}"),
            )),
            1 => None,
            _ => Some(finding(
                Fault,
                service,
                format!("it has {count} containers: a recreation was cut short"),
                format!("platform-ops up {service}"),
            )),
        })
        .collect()
}

pub(super) fn down(facts: &Facts) -> Vec<Finding> {
    where_so(facts, |container| {
        let evidence = format!(
            "container {} is {}, last exit code {}",
            container.name, container.state, container.exit_code
        );
        (!container.is_running()).then(|| {
            finding(
                Fault,
                "",
                evidence,
                format!("docker logs --tail 50 {}; platform-ops up", container.name),
            )
        })
    })
}

pub(super) fn unhealthy(facts: &Facts) -> Vec<Finding> {
    where_so(facts, |container| {
        let unhealthy = container.is_running() && container.health.as_deref() == Some("unhealthy");
        let evidence = format!("its health check says: {}", container.health_output.trim());
        unhealthy.then(|| {
            finding(
                Fault,
                "",
                evidence,
                format!("docker logs --tail 50 {}", container.name),
            )
        })
    })
}

pub(super) fn restarts(facts: &Facts) -> Vec<Finding> {
    where_so(facts, |container| {
        let often = container.restarts > RESTARTS_MAX || container.state == "restarting";
        let evidence = format!(
            "restarted {} times by the engine, last exit code {}",
            container.restarts, container.exit_code
        );
        often.then(|| {
            finding(
                Fault,
                "",
                evidence,
                format!("docker logs --tail 50 {}", container.name),
            )
        })
    })
}

pub(super) fn oom(facts: &Facts) -> Vec<Finding> {
    where_so(facts, |container| {
        let evidence = format!(
            "the kernel ended it at its limit of {}",
            bytes(container.memory_bytes_max)
        );
        container.oom_killed.then(|| {
            finding(
                Fault,
                "",
                evidence,
                "raise PLATFORM_<SERVICE>_MEMORY, or lower what it is configured to use",
            )
        })
    })
}

fn bytes(bytes: i64) -> ByteSize {
    ByteSize(u64::try_from(bytes).unwrap_or(0))
}

pub(super) fn outdated(facts: &Facts) -> Vec<Finding> {
    let outdated = facts.outdated.iter();
    outdated
        .map(|service| {
            finding(
                Warning,
                service,
                "its container is not as the configuration says",
                format!("platform-ops up {service} --dry-run says why"),
            )
        })
        .collect()
}

pub(super) fn architecture(facts: &Facts) -> Vec<Finding> {
    let Some(engine) = &facts.engine else {
        return Vec::new();
    };
    let host = match engine.architecture.as_str() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let images = facts
        .image_architectures
        .iter()
        .filter(|(_, image)| image.as_str() != host && !image.is_empty());
    images
        .map(|(service, image)| {
            finding(
                Fault,
                service,
                format!(
                    "its image is for {image}, the machine is {host}: it runs emulated, if at all"
                ),
                "platform-ops pull, with a tag that has this architecture",
            )
        })
        .collect()
}

pub(super) fn restart_policy(facts: &Facts) -> Vec<Finding> {
    where_so(facts, |container| {
        let stays_down = !matches!(
            container.restart_policy.as_str(),
            "always" | "unless-stopped"
        );
        let evidence = format!(
            "restart policy {:?}: after a reboot it stays down",
            container.restart_policy
        );
        stays_down.then(|| {
            finding(
                Fault,
                "",
                evidence,
                format!("docker update --restart unless-stopped {}", container.name),
            )
        })
    })
}

pub(super) fn memory(facts: &Facts) -> Vec<Finding> {
    where_so(facts, |container| {
        let evidence =
            "no memory limit: it can take the host's last page from the database".to_owned();
        (container.memory_bytes_max == 0).then(|| {
            finding(
                Warning,
                "",
                evidence,
                format!(
                    "docker update --memory 1g --memory-swap 1g {}",
                    container.name
                ),
            )
        })
    })
}

pub(super) fn privileged(facts: &Facts) -> Vec<Finding> {
    where_so(facts, |container| {
        container.privileged.then(|| {
            finding(
                Fault,
                "",
                "it runs privileged: it owns the host",
                "recreate it without --privileged",
            )
        })
    })
}

pub(super) fn docker_socket(facts: &Facts) -> Vec<Finding> {
    let holders = facts.neighbours.iter().filter(|container| {
        container
            .mounts
            .iter()
            .any(|mount| mount.source.ends_with("docker.sock"))
    });
    holders
        .map(|container| {
            finding(
                Fault,
                &container.name,
                "it has the engine's socket: that is root, and superuser of the database",
                "take the mount away, or put a read-only proxy between",
            )
        })
        .collect()
}

pub(super) fn network(facts: &Facts) -> Vec<Finding> {
    let Some(names) = &facts.names else {
        return Vec::new();
    };
    where_so(facts, |container| {
        // The agent has a network of its own.
        let outside = !container.networks.contains_key(&names.network)
            && container.label(LABEL_SERVICE) != Some(Service::Agent.name());
        let evidence = format!(
            "it is not on the network {}: applications do not reach it",
            names.network
        );
        outside.then(|| {
            finding(
                Fault,
                "",
                evidence,
                format!(
                    "docker network connect {} {}",
                    names.network, container.name
                ),
            )
        })
    })
}

pub(super) fn published(facts: &Facts) -> Vec<Finding> {
    let ports = facts.neighbours.iter().flat_map(|container| {
        container
            .published
            .iter()
            .map(move |port| (container, port))
    });
    ports
        .filter(|(_, port)| port.is_public())
        .map(|(container, port)| {
            let address = if port.address.is_empty() {
                "0.0.0.0"
            } else {
                &port.address
            };
            let evidence = format!(
                "{} is open at {address}:{}; Docker's rules come before firewalld's",
                port.port, port.host_port
            );
            // The platform's own services have no business there, an application may have.
            let ours = facts
                .containers
                .values()
                .flatten()
                .any(|ours| ours.id == container.id);
            finding(
                if ours { Fault } else { Note },
                &container.name,
                evidence,
                format!("publish it at 127.0.0.1:{} or not at all", port.host_port),
            )
        })
        .collect()
}

pub(super) fn grace(facts: &Facts) -> Vec<Finding> {
    let containers = of(facts, Service::Postgres);
    containers
        .filter(|container| container.stop_seconds.unwrap_or(10) < POSTGRES_GRACE_SECONDS_MIN)
        .map(|container| {
            let evidence = format!(
                "it is killed {} s after it is asked to stop",
                container.stop_seconds.unwrap_or(10)
            );
            finding(
                Warning,
                Service::Postgres,
                evidence,
                "stop_grace_period: 2m",
            )
        })
        .collect()
}

pub(super) fn digest(facts: &Facts) -> Vec<Finding> {
    let ours = each(facts).filter(|(service, _)| *service != Service::Agent);
    ours.filter(|(service, container)| {
        !facts.images.images.contains_key(service) && !container.image.contains('@')
    })
    .map(|(service, container)| {
        finding(
            Note,
            service,
            format!(
                "{} is a tag: what it means can change under a running database",
                container.image
            ),
            "platform-ops pull",
        )
    })
    .collect()
}
