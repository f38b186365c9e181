//! What Docker keeps of the containers' logs.

use bytesize::ByteSize;

use super::{Facts, Finding, Warning, finding};
use crate::container::Container;

const OUTAGE_SECONDS: u64 = 24 * 3600;
/// Of a log that is younger nothing can be said.
const LOG_SECONDS_MIN: u64 = 3600;

pub(super) fn driver(facts: &Facts) -> Vec<Finding> {
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

pub(super) fn rotation(facts: &Facts) -> Vec<Finding> {
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
fn capacity(container: &Container) -> Option<u64> {
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

pub(super) fn outage(facts: &Facts) -> Vec<Finding> {
    let logged = facts.neighbours.iter().filter_map(|container| {
        Some((
            container,
            facts.logs.get(&container.name)?,
            capacity(container)?,
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
