//! platform.env and what is derived from it.

use super::{Facts, Fault, Finding, Note, Warning, finding};
use crate::doctor::EnvironmentFacts;
use crate::hygiene;

const PLATFORM_ENV: &str = "platform.env";

fn environment(facts: &Facts) -> impl Iterator<Item = &EnvironmentFacts> {
    facts.environment.iter()
}

pub(super) fn unreadable(facts: &Facts) -> Vec<Finding> {
    let errors = environment(facts).filter_map(|environment| environment.error.as_ref());
    errors
        .map(|error| {
            finding(
                Fault,
                PLATFORM_ENV,
                error,
                format!("edit {}", facts.root.join("config/platform.env").display()),
            )
        })
        .collect()
}

pub(super) fn access(facts: &Facts) -> Vec<Finding> {
    let path = facts.root.join("config/platform.env");
    environment(facts)
        .filter(|environment| environment.access != (0o600, 0) && environment.access != (0, 0))
        .map(|environment| {
            let (mode, owner) = environment.access;
            let fix = format!("chown root:root {0} && chmod 600 {0}", path.display());
            finding(
                Fault,
                PLATFORM_ENV,
                format!("mode {mode:03o}, uid {owner}; it holds every secret"),
                fix,
            )
        })
        .collect()
}

pub(super) fn missing(facts: &Facts) -> Vec<Finding> {
    let keys = environment(facts).flat_map(|environment| &environment.missing);
    keys.map(|key| {
        finding(
            Fault,
            key,
            "it is not set",
            "platform-ops init adds what is missing",
        )
    })
    .collect()
}

pub(super) fn duplicates(facts: &Facts) -> Vec<Finding> {
    let keys = environment(facts).flat_map(|environment| &environment.duplicates);
    keys.map(|key| {
        finding(
            Warning,
            key,
            "it is set more than once; the last one counts, and grep finds the first",
            "remove the others from platform.env",
        )
    })
    .collect()
}

pub(super) fn dollar(facts: &Facts) -> Vec<Finding> {
    let entries = environment(facts).flat_map(|environment| &environment.interpolated);
    entries
        .map(|(key, unset)| {
            let (severity, evidence) = if unset.is_empty() {
                (Note, "Compose puts a variable into its value".to_owned())
            } else {
                (
                    Fault,
                    format!(
                        "Compose takes ${} in its value for a variable that is empty",
                        unset.join(", $")
                    ),
                )
            };
            finding(
                severity,
                key,
                evidence,
                "write the value in single quotes, or take one without $",
            )
        })
        .collect()
}

pub(super) fn weak(facts: &Facts) -> Vec<Finding> {
    let secrets = environment(facts).flat_map(|environment| &environment.secrets);
    secrets
        .map(|(key, faults)| {
            let only_characters = faults.iter().all(|fault| *fault == hygiene::Fault::UnsafeCharacter);
            let texts: Vec<&str> = faults.iter().map(|fault| fault.text()).collect();
            let fix = if faults.contains(&hygiene::Fault::EqualsPort) {
                "the application takes its password for its port: its maintainer must read the port from a variable of its own; then set a new secret. Until then a waiver with a date"
            } else {
                "set a new secret where it is used and in platform.env; `openssl rand -hex 16` makes one"
            };
            finding(if only_characters { Warning } else { Fault }, key, format!("it {}", texts.join(", ")), fix)
        })
        .collect()
}

pub(super) fn refused(facts: &Facts) -> Vec<Finding> {
    let refused = facts.refused_secrets.iter();
    refused
        .map(|(key, service)| {
            finding(
                Fault,
                key,
                format!("{service} does not take this password: one of both was changed alone"),
                format!("put the value that {service} knows back into platform.env, or give both sides a new one: platform-ops secrets rotate"),
            )
        })
        .collect()
}

pub(super) fn waivers(facts: &Facts) -> Vec<Finding> {
    let unknown = facts.unknown_waivers.iter();
    unknown
        .map(|check| {
            finding(
                Warning,
                check,
                "config/waivers.toml waives a check that does not exist",
                "platform-ops doctor --list",
            )
        })
        .collect()
}

pub(super) fn exposed(facts: &Facts) -> Vec<Finding> {
    let exposed = environment(facts).flat_map(|environment| &environment.exposed);
    exposed
        .map(|(key, container)| {
            let evidence = format!("its value stands in the environment of container {container}: whoever may use Docker reads it");
            finding(Warning, key, evidence, format!("give {container} a file instead, as the platform's compose.yaml does"))
        })
        .collect()
}

pub(super) fn drift(facts: &Facts) -> Vec<Finding> {
    let files = facts
        .files
        .iter()
        .filter(|file| file.difference != "owner or mode");
    files
        .map(|file| {
            let evidence = match file.difference.as_str() {
                "missing" => "it is missing".to_owned(),
                what => format!("its {what} differs from what platform.env says"),
            };
            finding(
                Warning,
                file.path.display(),
                evidence,
                "platform-ops up --dry-run, then platform-ops up",
            )
        })
        .collect()
}

pub(super) fn rotation(facts: &Facts) -> Vec<Finding> {
    let keys = facts.rotation.iter();
    keys.map(|key| {
        finding(
            Fault,
            key,
            "its rotation was cut short: platform.env and its server may differ",
            format!("platform-ops secrets rotate {key}"),
        )
    })
    .collect()
}

pub(super) fn file_access(facts: &Facts) -> Vec<Finding> {
    let files = facts
        .files
        .iter()
        .filter(|file| file.difference == "owner or mode");
    files
        .map(|file| {
            let (mode, owner) = file.found.unwrap_or_default();
            let (wanted_mode, wanted_owner) = file.wanted;
            let evidence = format!(
                "mode {mode:03o} uid {owner} instead of {wanted_mode:03o} uid {wanted_owner}"
            );
            // What others may read that they should not is worse than what a service cannot read.
            let severity = if mode & !wanted_mode & 0o077 != 0 {
                Fault
            } else {
                Warning
            };
            finding(severity, file.path.display(), evidence, "platform-ops up")
        })
        .collect()
}
