//! Containers, their images and their logs.

use bytesize::ByteSize;

use super::{Facts, Fault, Finding, Note, Warning, finding};
use crate::container::Container;
use crate::service::Service;

const RESTARTS_MAX: i64 = 3;
const OUTAGE_SECONDS: u64 = 24 * 3600;
/// Of a log that is younger nothing can be said.
const LOG_SECONDS_MIN: u64 = 3600;
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
        let outside = !container.networks.contains_key(&names.network);
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

pub(super) fn data(facts: &Facts) -> Vec<Finding> {
    let services = each(facts)
        .filter_map(|(service, container)| Some((service, container, service.data_path()?)));
    services
        .filter_map(|(service, container, path)| {
            let evidence = match container.mount_at(path) {
                None => format!("nothing is mounted at {path}: its data go with the container"),
                Some(mount) if mount.kind != "bind" => format!(
                    "{path} is the volume {}, not a folder under {}",
                    mount.volume,
                    facts.root.display()
                ),
                Some(_) => return None,
            };
            Some(finding(
                Fault,
                service,
                evidence,
                "stop it, copy the data to a folder, and mount that",
            ))
        })
        .collect()
}

pub(super) fn volumes(facts: &Facts) -> Vec<Finding> {
    let anonymous = |name: &str| name.len() == 64 && name.chars().all(|c| c.is_ascii_hexdigit());
    let mounts = facts
        .neighbours
        .iter()
        .flat_map(|container| container.mounts.iter().map(move |mount| (container, mount)));
    mounts
        .filter(|(_, mount)| mount.kind == "volume" && anonymous(&mount.volume))
        .map(|(container, mount)| {
            let evidence = format!(
                "{} is an anonymous volume: `docker volume prune` may take it",
                mount.destination
            );
            finding(Warning, &container.name, evidence, "mount a folder there")
        })
        .collect()
}

pub(super) fn file_mounts(facts: &Facts) -> Vec<Finding> {
    let mounts = each(facts)
        .filter(|(service, _)| *service != Service::Agent)
        .flat_map(|(service, container)| {
            container.mounts.iter().map(move |mount| (service, mount))
        });
    mounts
        .filter(|(_, mount)| mount.kind == "bind" && std::path::Path::new(&mount.source).is_file())
        .map(|(service, mount)| {
            let evidence = format!("{} is mounted as a single file: once it is replaced, the container still reads the old one", mount.source);
            finding(Warning, service, evidence, "mount its folder")
        })
        .collect()
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

pub(super) fn log_driver(facts: &Facts) -> Vec<Finding> {
    let containers = facts
        .neighbours
        .iter()
        .filter(|container| container.log_driver != "json-file");
    containers
        .map(|container| {
            let evidence = format!(
                "it logs to {}: neither `docker logs` nor the agent may find it there",
                container.log_driver
            );
            finding(
                Warning,
                &container.name,
                evidence,
                "recreate it with log driver json-file",
            )
        })
        .collect()
}

pub(super) fn log_rotation(facts: &Facts) -> Vec<Finding> {
    let containers = facts
        .neighbours
        .iter()
        .filter(|container| container.log_driver == "json-file");
    containers
        .filter(|container| !container.log_options.contains_key("max-size"))
        .map(|container| {
            finding(
                Warning,
                &container.name,
                "its log grows without end: a container keeps the rotation it was made with",
                "recreate it with max-size and max-file",
            )
        })
        .collect()
}

/// Bytes that rotation keeps.
fn log_capacity(container: &Container) -> Option<u64> {
    let size = container.log_options.get("max-size")?;
    let (number, unit) = size.split_at(
        size.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(size.len()),
    );
    let unit = match unit.to_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    let files: u64 = container
        .log_options
        .get("max-file")
        .map_or(Some(1), |files| files.parse().ok())?;
    number
        .parse::<u64>()
        .ok()?
        .checked_mul(unit)?
        .checked_mul(files)
}

pub(super) fn log_outage(facts: &Facts) -> Vec<Finding> {
    let logged = facts.neighbours.iter().filter_map(|container| {
        Some((
            container,
            facts.logs.get(&container.name)?,
            log_capacity(container)?,
        ))
    });
    logged
        .filter(|(_, log, _)| log.seconds >= LOG_SECONDS_MIN)
        .filter_map(|(container, log, capacity)| {
            let kept = capacity.saturating_mul(log.seconds) / log.bytes.max(1);
            let evidence = format!(
                "rotation keeps {}, about {} h of what it writes",
                ByteSize(capacity),
                kept / 3600
            );
            (kept < OUTAGE_SECONDS).then(|| {
                finding(
                    Warning,
                    &container.name,
                    evidence,
                    "raise max-size or max-file and recreate it",
                )
            })
        })
        .collect()
}
