//! Where containers keep their data.

use super::container::each;
use super::{Facts, Fault, Finding, Warning, finding};
use crate::service::Service;

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
