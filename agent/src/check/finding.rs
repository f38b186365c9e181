//! What a check found.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Left out on purpose, or good to know.
    Note,
    /// The agent runs, and lines can be lost or misnamed.
    Warning,
    /// The agent would not start, or nothing would arrive.
    Error,
}

impl Verdict {
    /// The word used in JSON and on the page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    /// What was checked; the same words in every release of a schema.
    pub check: &'static str,
    /// Of what: a key, a path, a container. May be empty.
    pub subject: String,
    /// One sentence.
    pub what: String,
    /// What was seen that says so. May be empty.
    pub evidence: String,
    /// What to do next; empty when nothing is to be done.
    pub next: String,
}

impl Finding {
    /// A finding without evidence and next step.
    pub fn new(
        verdict: Verdict,
        check: &'static str,
        subject: impl Into<String>,
        what: impl Into<String>,
    ) -> Self {
        Self {
            verdict,
            check,
            subject: subject.into(),
            what: what.into(),
            evidence: String::new(),
            next: String::new(),
        }
    }

    /// With its evidence.
    pub fn seen(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = evidence.into();
        self
    }

    /// With the next step.
    pub fn then(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }
}

/// What the first start would send of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Its name.
    pub container: String,
    /// Bytes of its log files, uncompressed, that are not older than `source.start_at` and the
    /// retention.
    pub send_bytes: u64,
    /// Bytes of its log files, uncompressed, as far as they could be read.
    pub log_bytes: u64,
}

/// All findings, in the order they were made.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The findings.
    pub findings: Vec<Finding>,
    /// What the first start would send, by container; `None` when there has been one.
    pub first_start: Option<Vec<Backlog>>,
    /// The configuration was not understood: nothing else was checked.
    pub is_configuration_wrong: bool,
}

impl Report {
    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds one with nothing to do.
    pub fn ok(&mut self, check: &'static str, subject: impl Into<String>, what: impl Into<String>) {
        self.add(Finding::new(Verdict::Ok, check, subject, what));
    }

    /// The worst of all.
    pub fn verdict(&self) -> Verdict {
        let worst = self.findings.iter().map(|finding| finding.verdict).max();
        worst.unwrap_or(Verdict::Ok)
    }

    /// Bytes that the first start would send of all containers.
    pub fn first_start_bytes(&self) -> Option<u64> {
        let backlogs = self.first_start.as_ref()?;
        Some(backlogs.iter().map(|backlog| backlog.send_bytes).sum())
    }

    /// How many findings have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        let same = |finding: &&Finding| finding.verdict == verdict;
        self.findings.iter().filter(same).count()
    }
}
