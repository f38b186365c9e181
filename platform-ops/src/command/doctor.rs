//! `doctor`: what is wrong, how bad, and what fixes it.

use jiff::Timestamp;

use crate::doctor::{self, CHECKS, Finding, Report, Severity, Waivers};
use crate::exit::Exit;
use crate::output::{Output, Tone};
use crate::session::Session;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops doctor
  platform-ops doctor --json | jq '.findings[] | select(.severity == \"fault\")'
  platform-ops doctor --list            every check and its name

It changes nothing. Exit codes: 0 nothing but notes, 3 warnings, 4 faults.
A finding that has to stay for a time is waived in config/waivers.toml, with reason and date:
  [[waiver]]
  check = \"secret.weak\"
  subject = \"TRADING_APP_DB_PASSWORD\"
  reason = \"the application takes its password for the port\"
  expires = \"2026-12-31\"
An expired waiver turns its finding into a fault, and blocks nothing.")]
pub struct Arguments {
    /// List the checks instead
    #[arg(long)]
    list: bool,
}

/// Examines the platform.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    if arguments.list {
        let checks: Vec<_> = CHECKS
            .iter()
            .map(|check| serde_json::json!({"check": check.id, "about": check.about}))
            .collect();
        session
            .output
            .result("checks", &serde_json::json!({"checks": checks}), || {
                CHECKS
                    .iter()
                    .map(|check| format!("{:<26} {}\n", check.id, check.about))
                    .collect()
            });
        return Ok(Exit::OK);
    }
    let waivers = Waivers::load(session)?;
    let spinner = session.output.spinner("looking");
    let mut facts = doctor::gather(session).await;
    doctor::gather_remote(session, &mut facts).await;
    facts.unknown_waivers = waivers.unknown();
    spinner.finish_and_clear();
    let report = doctor::examine(&facts, &waivers, Timestamp::now());
    session.output.result("doctor", &report, || {
        session.redactor.clean(&text(session.output, &report))
    });
    Ok(if report.count(Severity::Fault) > 0 {
        Exit::REFUSED
    } else if report.count(Severity::Warning) > 0 {
        Exit::WARNINGS
    } else {
        Exit::OK
    })
}

/// A report as people read it.
pub fn text(output: Output, report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text += &line(output, finding);
    }
    for waived in &report.waived {
        let finding = &waived.finding;
        let line = format!(
            "waived   {} {}: {}, until {}\n",
            finding.check, finding.subject, waived.reason, waived.expires
        );
        text += &output.paint(Tone::Dim, &line);
    }
    let count = |severity| report.count(severity);
    text + &format!(
        "{} checks: {} faults, {} warnings, {} notes, {} waived",
        report.checks,
        count(Severity::Fault),
        count(Severity::Warning),
        count(Severity::Note),
        report.waived.len()
    )
}

fn line(output: Output, finding: &Finding) -> String {
    let (word, tone) = match finding.severity {
        Severity::Fault => ("FAULT  ", Tone::Bad),
        Severity::Warning => ("warning", Tone::Warn),
        Severity::Note => ("note   ", Tone::Dim),
    };
    format!(
        "{}  {} {}: {}\n         fix: {}\n",
        output.paint(tone, word),
        finding.check,
        finding.subject,
        finding.evidence,
        finding.fix
    )
}
