//! What people are shown: one screen of `status`, the findings of `doctor`.

#![allow(clippy::unwrap_used)]

use platform_ops::backup::alarm::{Alarm, Kind};
use platform_ops::disk::{FLOOR_BYTES, Room};
use platform_ops::doctor::{BackupFacts, Finding, Report, Severity, Waived};
use platform_ops::output::{ColorChoice, Output};
use platform_ops::service::Service;
use platform_ops::status::{ServiceStatus, Status, between, screen};

fn service(service: Service, state: &str, load: &str) -> ServiceStatus {
    ServiceStatus {
        service,
        container: Some((service.default_container().to_owned(), "a".to_owned())),
        state: state.to_owned(),
        health: (state == "running").then(|| "healthy".to_owned()),
        adopted: service == Service::Redis,
        image: String::new(),
        version: Some("17.5".to_owned()),
        started_at: "2026-11-25T10:00:00Z".to_owned(),
        memory_bytes: Some((200 << 20, 1 << 30)),
        load: load.to_owned(),
    }
}

fn status() -> Status {
    let room = Room {
        bytes: 50 << 30,
        bytes_free: 1 << 29,
        inodes: 1000,
        inodes_free: 900,
    };
    Status {
        at: "2026-11-25T12:34:00Z".parse().unwrap(),
        services: vec![
            service(
                Service::Postgres,
                "running",
                "7 of 100 connections, 80.0 MiB WAL",
            ),
            service(
                Service::Redis,
                "running",
                "1.2 MiB of 768.0 MiB memory, 3 clients",
            ),
            service(Service::Pgbouncer, "exited", ""),
        ],
        disks: [("/srv".to_owned(), room)].into(),
        disk_floor_bytes: FLOOR_BYTES,
        faults: 1,
        warnings: 1,
        findings: ["container.down pgbouncer", "host.disk /srv"]
            .map(str::to_owned)
            .into(),
        memory_bytes: (6 << 30, 2 << 30),
        lost_bytes: Some(0),
        worst: vec!["pgbouncer: container pgbouncer is exited, last exit code 1".to_owned()],
        kept: vec![("trading_db__before_20261124".to_owned(), 80 << 20)],
        backup: BackupFacts {
            started_by: vec!["systemd".to_owned()],
            alarms: vec![Alarm {
                kind: Kind::Failed,
                text: "the last backup failed".to_owned(),
            }],
            ..BackupFacts::default()
        },
        gaps: vec!["platform.env: needs root".to_owned()],
        changes: Vec::new(),
    }
}

#[test]
fn one_screen_says_it_all() {
    let mut before = status();
    before.services[0].started_at = "2026-11-24T10:00:00Z".to_owned();
    before.services[2].state = "running".to_owned();
    before.services[2].health = Some("healthy".to_owned());
    before.findings = ["env.access platform.env".to_owned()].into();
    let mut now = status();
    now.lost_bytes = Some(5 << 20);
    now.changes = between(&before, &now);
    let text = screen(Output::new(false, ColorChoice::Never), &now);
    insta::assert_snapshot!(text);
    assert!(text.lines().count() <= 24, "more than a screen");
    let coloured = screen(Output::new(false, ColorChoice::Always), &now);
    assert!(
        coloured.contains("\x1b[1;31m/srv: "),
        "a full disk stands out"
    );
}

#[test]
fn what_stayed_the_same_is_no_change() {
    assert!(between(&status(), &status()).is_empty());
}

#[test]
fn findings_come_with_evidence_and_fix() {
    let finding = |severity, check| Finding {
        check,
        subject: "redis".to_owned(),
        severity,
        evidence: "what was seen".to_owned(),
        fix: "platform-ops up".to_owned(),
    };
    let report = Report {
        findings: vec![
            finding(Severity::Fault, "redis.open"),
            finding(Severity::Warning, "container.memory"),
            finding(Severity::Note, "image.digest"),
        ],
        waived: vec![Waived {
            finding: finding(Severity::Fault, "secret.weak"),
            reason: "until it is fixed".to_owned(),
            expires: "2026-12-31".to_owned(),
        }],
        checks: 80,
    };
    let text = platform_ops::command::doctor::text(Output::new(false, ColorChoice::Never), &report);
    insta::assert_snapshot!(text);
}
