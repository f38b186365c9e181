//! What became different between two looks.

use bytesize::ByteSize;

use super::{ServiceStatus, Status};

/// In words.
pub fn between(last: &Status, now: &Status) -> Vec<String> {
    let mut changes = Vec::new();
    for service in &now.services {
        let name = service.service;
        let Some(before) = last.services.iter().find(|before| before.service == name) else {
            changes.push(format!("{name} is new"));
            continue;
        };
        let id = |status: &ServiceStatus| status.container.as_ref().map(|(_, id)| id.clone());
        if service.state == "unknown" || before.state == "unknown" {
            continue;
        }
        if id(before) != id(service) {
            changes.push(format!("{name} has another container"));
        } else if before.started_at != service.started_at {
            changes.push(format!("{name} was restarted"));
        }
        if before.state != service.state || before.health != service.health {
            let text = |status: &ServiceStatus| {
                status
                    .health
                    .clone()
                    .unwrap_or_else(|| status.state.clone())
            };
            changes.push(format!("{name} was {}, is {}", text(before), text(service)));
        }
        if before.version != service.version
            && before.version.is_some()
            && service.version.is_some()
        {
            let text = |status: &ServiceStatus| status.version.clone().unwrap_or_default();
            changes.push(format!(
                "{name} was version {}, is {}",
                text(before),
                text(service)
            ));
        }
    }
    if now.lost_bytes > last.lost_bytes && last.lost_bytes.is_some() {
        let more = now.lost_bytes.unwrap_or(0) - last.lost_bytes.unwrap_or(0);
        changes.push(format!("agent lost {} more", ByteSize(more)));
    }
    let new = now.findings.difference(&last.findings);
    changes.extend(new.map(|finding| format!("found {finding}")));
    let gone = last.findings.difference(&now.findings);
    changes.extend(gone.map(|finding| format!("no longer {finding}")));
    changes
}
