//! A report for people, and for programs.

use std::fmt::Write;

use bytesize::ByteSize;
use serde_json::json;

use super::finding::{Finding, Report, Verdict};

/// Changes when a field is taken away or means something else.
const SCHEMA: &str = "platform-agent/check/1";
/// Width of `warning` and of the widest check.
const VERDICT_WIDTH: usize = 7;
const CHECK_WIDTH: usize = 17;

/// How the page looks.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Verdicts in colour.
    pub is_coloured: bool,
}

/// The report for people: one row a finding, evidence and next step below what is not well.
pub fn page(report: &Report, look: Look) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        row(&mut text, finding, look);
    }
    if let Some(backlogs) = &report.first_start {
        let largest = backlogs.iter().filter(|backlog| backlog.send_bytes > 0);
        for backlog in largest.take(20) {
            let _ = writeln!(
                text,
                "{:10}{:>10} of {}",
                "",
                ByteSize(backlog.send_bytes).to_string(),
                backlog.container
            );
        }
    }
    let (errors, warnings) = (report.count(Verdict::Error), report.count(Verdict::Warning));
    let _ = match (errors, warnings) {
        (0, 0) => writeln!(text, "\nready to run"),
        (0, _) => writeln!(text, "\nready to run, warnings: {warnings}"),
        _ => writeln!(text, "\nnot ready, errors: {errors}, warnings: {warnings}"),
    };
    text
}

fn row(text: &mut String, finding: &Finding, look: Look) {
    let (start, end) = match (look.is_coloured, finding.verdict) {
        (false, _) => ("", ""),
        (true, Verdict::Ok) => ("\x1b[32m", "\x1b[0m"),
        (true, Verdict::Note) => ("\x1b[2m", "\x1b[0m"),
        (true, Verdict::Warning) => ("\x1b[33m", "\x1b[0m"),
        (true, Verdict::Error) => ("\x1b[1;31m", "\x1b[0m"),
    };
    let subject = match finding.subject.as_str() {
        "" => String::new(),
        subject => format!("{subject}: "),
    };
    // Writing into a string does not fail.
    let _ = writeln!(
        text,
        "{start}{:VERDICT_WIDTH$}{end} {:CHECK_WIDTH$} {subject}{}",
        finding.verdict, finding.check, finding.what
    );
    let indent = VERDICT_WIDTH + CHECK_WIDTH + 2;
    for (label, words) in [("seen", &finding.evidence), ("next", &finding.next)] {
        if !words.is_empty() {
            let _ = writeln!(text, "{:indent$}{label}: {words}", "");
        }
    }
}

/// The report for programs, schema [`SCHEMA`].
pub fn json(report: &Report) -> String {
    let findings: Vec<_> = report.findings.iter().map(finding_json).collect();
    let containers = report.first_start.iter().flatten().map(|backlog| {
        json!({
            "container": backlog.container,
            "send_bytes": backlog.send_bytes,
            "log_bytes": backlog.log_bytes,
        })
    });
    let first_start = report
        .first_start_bytes()
        .map(|bytes| json!({ "send_bytes": bytes, "containers": containers.collect::<Vec<_>>() }));
    let mut text = json!({
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "verdict": report.verdict().as_str(),
        "errors": report.count(Verdict::Error),
        "warnings": report.count(Verdict::Warning),
        "findings": findings,
        "first_start": first_start,
    })
    .to_string();
    text.push('\n');
    text
}

fn finding_json(finding: &Finding) -> serde_json::Value {
    json!({
        "check": finding.check,
        "verdict": finding.verdict.as_str(),
        "subject": finding.subject,
        "what": finding.what,
        "evidence": finding.evidence,
        "next": finding.next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.ok("configuration", "agent.toml", "every key is understood");
        report.add(
            Finding::new(
                Verdict::Warning,
                "container",
                "web",
                "it is removed when it exits",
            )
            .seen("AutoRemove is true")
            .then("run it without --rm"),
        );
        report
    }

    #[test]
    fn a_page_shows_what_is_wrong_with_evidence_and_next_step() {
        insta::assert_snapshot!(page(&report(), Look { is_coloured: false }), @r"
        ok      configuration     agent.toml: every key is understood
        warning container         web: it is removed when it exits
                                  seen: AutoRemove is true
                                  next: run it without --rm

        ready to run, warnings: 1
        ");
    }

    #[test]
    fn colours_are_only_where_they_are_asked_for() {
        let bare = page(&report(), Look { is_coloured: false });
        let coloured = page(&report(), Look { is_coloured: true });
        assert!(!bare.contains('\x1b'));
        assert!(coloured.contains("\x1b[33mwarning\x1b[0m"));
    }
}
