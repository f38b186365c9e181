//! What is wrong with the platform, as data: facts are gathered once, checks look at them.

mod check;
mod facts;
mod gather;
mod waiver;

pub use check::{CHECKS, Check};
pub use facts::*;
pub use gather::{ask_postgres_settings, gather, gather_remote};
pub use waiver::{Waiver, Waivers};

use jiff::Timestamp;
use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Breaks, or loses data or secrets: act.
    Fault,
    /// Will hurt: look at it.
    Warning,
    /// Worth knowing.
    Note,
}

/// Something a check found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The check, as in waivers.
    pub check: &'static str,
    /// What it is about: a service, a key, a path.
    pub subject: String,
    /// How bad.
    pub severity: Severity,
    /// What was seen.
    pub evidence: String,
    /// The command or act that fixes it.
    pub fix: String,
}

/// A finding that is accepted for a time.
#[derive(Clone, Debug, Serialize)]
pub struct Waived {
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// Why it is accepted.
    pub reason: String,
    /// Until when.
    pub expires: String,
}

/// All that was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What counts, the worst first.
    pub findings: Vec<Finding>,
    /// What is accepted for now.
    pub waived: Vec<Waived>,
    /// How many checks looked.
    pub checks: usize,
}

impl Report {
    /// How many findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }
}

/// Runs every check.
pub fn examine(facts: &Facts, waivers: &Waivers, now: Timestamp) -> Report {
    let mut report = Report {
        checks: CHECKS.len(),
        ..Report::default()
    };
    for check in CHECKS {
        for mut finding in (check.run)(facts) {
            finding.check = check.id;
            waivers.sort(finding, now, &mut report);
        }
    }
    report.findings.sort_by_key(|finding| finding.severity);
    report
}
