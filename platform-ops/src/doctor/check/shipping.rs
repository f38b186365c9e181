//! The log agent.

use bytesize::ByteSize;

use super::{Facts, Fault, Finding, Note, Warning, finding};
use crate::service::Service;

const SUBJECT: Service = Service::Agent;
const LAG_BYTES_MAX: u64 = 64 << 20;

fn is_used(facts: &Facts) -> bool {
    facts
        .names
        .as_ref()
        .is_some_and(|names| names.containers.contains_key(&SUBJECT))
}

fn number(facts: &Facts, name: &str) -> u64 {
    facts
        .agent
        .as_ref()
        .and_then(|status| status[name].as_u64())
        .unwrap_or(0)
}

pub(super) fn off(facts: &Facts) -> Vec<Finding> {
    if facts.names.is_none() || is_used(facts) {
        return Vec::new();
    }
    vec![finding(
        Note,
        SUBJECT,
        "the log agent is off: logs stay on this disk until rotation takes them",
        "fill config/agent/, PLATFORM_AGENT=on in platform.env, platform-ops up agent",
    )]
}

pub(super) fn lag(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lag = number(facts, "lag_bytes");
    if lag > LAG_BYTES_MAX {
        findings.push(finding(
            Warning,
            SUBJECT,
            format!("{} are not shipped yet", ByteSize(lag)),
            "platform-ops agent status",
        ));
    }
    let unready = facts
        .agent
        .as_ref()
        .and_then(|status| status["unready_reason"].as_str());
    if let Some(why) = unready {
        findings.push(finding(
            Fault,
            SUBJECT,
            format!("it does not ship: {why}"),
            "platform-ops agent check",
        ));
    }
    findings
}

pub(super) fn loss(facts: &Facts) -> Vec<Finding> {
    let lost = number(facts, "lost_bytes");
    if lost == 0 {
        return Vec::new();
    }
    vec![finding(
        Fault,
        SUBJECT,
        format!("{} were lost since it started", ByteSize(lost)),
        "platform-ops agent status says which; raise the rotation of that container",
    )]
}

pub(super) fn credentials(facts: &Facts) -> Vec<Finding> {
    if !is_used(facts) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let open = facts
        .agent_credentials
        .iter()
        .filter(|(_, mode)| mode & 0o077 != 0);
    for (name, mode) in open {
        findings.push(finding(
            Fault,
            name,
            format!("mode {mode:03o}: others may read the key of your Oracle account"),
            format!("chmod 600 config/agent/oci/{name}"),
        ));
    }
    findings
}
