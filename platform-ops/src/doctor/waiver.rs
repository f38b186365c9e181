//! Findings that are accepted for a time: `config/waivers.toml`.
//!
//! ```toml
//! [[waiver]]
//! check = "secret.weak"
//! subject = "TRADING_APP_DB_PASSWORD"
//! reason = "the application takes its password for the port; TRADE-17"
//! expires = "2026-12-31"
//! ```

use std::io;

use anyhow::Context as _;
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;

use super::{CHECKS, Finding, Report, Severity, Waived};
use crate::failure::Failure;
use crate::session::Session;

/// The waivers of a host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waivers {
    /// Each.
    #[serde(default, rename = "waiver")]
    pub waivers: Vec<Waiver>,
}

/// A finding that is accepted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The check.
    pub check: String,
    /// What it is about.
    pub subject: String,
    /// Why; required.
    pub reason: String,
    /// The last day on which it holds, in UTC.
    pub expires: Date,
}

impl Waivers {
    /// Reads the file; none where there is none.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn load(session: &Session) -> anyhow::Result<Self> {
        let path = session.root.waivers();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                ) =>
            {
                return Ok(Self::default());
            }
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        toml::from_str(&text).with_context(|| Failure::usage(format!("read {}", path.display())))
    }

    /// The checks that they name and that do not exist: such a waiver waives nothing.
    pub fn unknown(&self) -> Vec<String> {
        let names = self.waivers.iter().map(|waiver| &waiver.check);
        names
            .filter(|name| !CHECKS.iter().any(|check| check.id == **name))
            .cloned()
            .collect()
    }

    /// Puts a finding where it belongs. An expired waiver is named, and blocks nothing.
    pub fn sort(&self, finding: Finding, now: Timestamp, report: &mut Report) {
        let today = TimeZone::UTC.to_datetime(now).date();
        let waiver = self
            .waivers
            .iter()
            .find(|waiver| waiver.check == finding.check && waiver.subject == finding.subject);
        match waiver {
            Some(waiver) if waiver.expires >= today => report.waived.push(Waived {
                finding,
                reason: waiver.reason.clone(),
                expires: waiver.expires.to_string(),
            }),
            Some(waiver) => report.findings.push(Finding {
                severity: Severity::Fault,
                evidence: format!(
                    "{}; its waiver expired on {} ({})",
                    finding.evidence, waiver.expires, waiver.reason
                ),
                ..finding
            }),
            None => report.findings.push(finding),
        }
    }
}
