//! Oracle Cloud, as far as `doctor` asked it.

use serde_json::Value;

use super::{Facts, Fault, Finding, Warning, finding};
use crate::service::Service;

/// What the agent checks of its way to the log. What it says of containers, doctor sees itself.
const WAY: [&str; 5] = ["configuration", "credentials", "endpoint", "entry", "clock"];

pub(super) fn agent(facts: &Facts) -> Vec<Finding> {
    let answer = facts.agent_check.iter();
    let found = answer.flat_map(|answer| answer["findings"].as_array().into_iter().flatten());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    found
        .filter(|found| WAY.iter().any(|check| found["check"] == *check))
        .filter_map(|found| {
            let severity = match found["verdict"].as_str() {
                Some("error") => Fault,
                Some("warning") => Warning,
                _ => return None,
            };
            let parts = [
                &found["check"],
                &found["subject"],
                &found["what"],
                &found["evidence"],
            ];
            let parts: Vec<String> = parts
                .into_iter()
                .map(text)
                .filter(|part| !part.is_empty())
                .collect();
            let next = Some(text(&found["next"])).filter(|next| !next.is_empty());
            Some(finding(
                severity,
                Service::Agent,
                parts.join(": "),
                next.unwrap_or_else(|| "platform-ops agent check".to_owned()),
            ))
        })
        .collect()
}

pub(super) fn bucket(facts: &Facts) -> Vec<Finding> {
    let error = facts.bucket_error.iter();
    error
        .map(|(bucket, why)| {
            finding(
                Fault,
                bucket,
                format!("the bucket of backups cannot be listed: {why}"),
                "[bucket] in config/backup.toml; deploy/oci has the policy that its credentials need",
            )
        })
        .collect()
}
