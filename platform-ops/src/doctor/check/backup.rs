//! The backups: made, young enough, restored, opened with the key that counts.

use super::{Facts, Fault, Finding, Note, Warning, finding};
use crate::backup::alarm::Kind;

const SUBJECT: &str = "backups";

pub(super) fn configured(facts: &Facts) -> Vec<Finding> {
    if facts.backup.configured != Some(false) {
        return Vec::new();
    }
    vec![finding(
        Note,
        SUBJECT,
        "no place for backups is configured: what is lost with this disk is lost",
        "recipients and [bucket] in config/backup.toml, then platform-ops backup create",
    )]
}

pub(super) fn scheduled(facts: &Facts) -> Vec<Finding> {
    if facts.backup.configured != Some(true) {
        return Vec::new();
    }
    let mut by = facts.backup.started_by.clone();
    if !facts.host.cron_backups.is_empty() {
        by.push("the manual's line in a crontab".to_owned());
    }
    match &by[..] {
        [] => vec![finding(
            Warning,
            SUBJECT,
            "nothing starts them",
            "platform-ops backup schedule install",
        )],
        [_] => Vec::new(),
        several => vec![finding(
            Fault,
            SUBJECT,
            format!("{} start them: each night twice", several.join(" and ")),
            "platform-ops backup schedule install --replace-cron",
        )],
    }
}

fn of_kind(facts: &Facts, kind: Kind) -> Vec<Finding> {
    let (severity, fix) = match kind {
        Kind::Failed => (
            Fault,
            "platform-ops backup create; journalctl -u platform-ops-backup",
        ),
        Kind::Stale => (
            Fault,
            "platform-ops backup create; platform-ops backup schedule show",
        ),
        Kind::Undrilled => (
            Fault,
            "platform-ops backup create, or backup drill latest --identity FILE",
        ),
        Kind::Escrow => (
            Warning,
            "platform-ops backup drill latest --identity FILE, on a host with room",
        ),
        Kind::Size => (
            Warning,
            "platform-ops backup list; backup drill latest --identity FILE; backup prune",
        ),
    };
    let alarms = facts
        .backup
        .alarms
        .iter()
        .filter(|alarm| alarm.kind == kind);
    alarms
        .map(|alarm| finding(severity, SUBJECT, alarm.text.clone(), fix))
        .collect()
}

pub(super) fn failed(facts: &Facts) -> Vec<Finding> {
    of_kind(facts, Kind::Failed)
}

pub(super) fn age(facts: &Facts) -> Vec<Finding> {
    of_kind(facts, Kind::Stale)
}

pub(super) fn drill(facts: &Facts) -> Vec<Finding> {
    of_kind(facts, Kind::Undrilled)
}

pub(super) fn escrow(facts: &Facts) -> Vec<Finding> {
    of_kind(facts, Kind::Escrow)
}

pub(super) fn size(facts: &Facts) -> Vec<Finding> {
    of_kind(facts, Kind::Size)
}
