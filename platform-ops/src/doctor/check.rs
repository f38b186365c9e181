//! The checks, as data.

mod backup;
mod catalog;
mod cloud;
mod configuration;
mod container;
mod health;
mod host;
mod log;
mod mount;
mod pooler;
mod postgres;
mod redis;
mod shipping;

use super::{Facts, Finding, Severity};
pub use catalog::CHECKS;

/// A check.
#[derive(Clone, Copy)]
pub struct Check {
    /// Its name, as in waivers.
    pub id: &'static str,
    /// What it looks for.
    pub about: &'static str,
    /// Looks.
    pub run: fn(&Facts) -> Vec<Finding>,
}

const fn check(id: &'static str, about: &'static str, run: fn(&Facts) -> Vec<Finding>) -> Check {
    Check { id, about, run }
}

/// A finding; its check's name is put in by the one who runs it.
fn finding(
    severity: Severity,
    subject: impl ToString,
    evidence: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    Finding {
        check: "",
        subject: subject.to_string(),
        severity,
        evidence: evidence.into(),
        fix: fix.into(),
    }
}

use Severity::{Fault, Note, Warning};
