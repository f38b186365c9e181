//! `platform-agent check`: everything that can be known before running, each finding with what was
//! seen and what to do about it.

mod cutoff;
mod finding;
mod folder;
mod log;
mod page;
mod right;
mod roundtrip;
mod service;
mod spool;
mod state;

use std::path::Path;
use std::time::SystemTime;

use crate::config::{Config, ConfigError, DEFAULT_PATH, layer::Origin};
use crate::host;

pub use finding::{Finding, Report, Verdict};
pub use page::{Look, json, page};
pub use service::Options;

/// Checks a configuration that was loaded from `path` (or the usual places).
///
/// Nothing is changed: what has to be written to know is removed again. One entry is sent, unless
/// that is turned off.
pub fn check(
    path: Option<&Path>,
    config: Result<&Config, &ConfigError>,
    options: Options,
) -> Report {
    let mut report = Report::default();
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            wrong_configuration(error, &mut report);
            return report;
        }
    };
    report.ok("configuration", file_name(path), "every key is understood");
    host_name(config, &mut report);
    let now = SystemTime::now();
    let is_first_start = state::check(config, &mut report);
    spool::check(config, &mut report);
    if folder::check(config, &mut report) {
        log::check(config, now, is_first_start, &mut report);
    }
    limits(config, &mut report);
    service::check(config, options, &mut report);
    report
}

fn file_name(path: Option<&Path>) -> String {
    match path {
        Some(path) => path.display().to_string(),
        None if Path::new(DEFAULT_PATH).exists() => DEFAULT_PATH.to_owned(),
        None => "environment and defaults".to_owned(),
    }
}

fn wrong_configuration(error: &ConfigError, report: &mut Report) {
    for problem in &error.problems {
        let origin = match &problem.origin {
            Origin::Default => "nobody has set it".to_owned(),
            origin => origin.to_string(),
        };
        report.add(
            Finding::new(
                Verdict::Error,
                "configuration",
                &problem.path,
                &problem.text,
            )
            .seen(origin)
            .then("correct it; `platform-agent defaults` prints and explains every key"),
        );
    }
    report.is_configuration_wrong = true;
}

fn host_name(config: &Config, report: &mut Report) {
    let host = host::name(&config.source);
    let what = format!("source is {}", host.name);
    let (verdict, next) = if host.is_container_id() {
        (
            Verdict::Warning,
            "set source.host, or mount the host's /etc/hostname at source.host_file",
        )
    } else {
        (Verdict::Ok, "")
    };
    let what = match verdict {
        Verdict::Ok => what,
        _ => format!("{what}, a container's id: it changes whenever that is made anew"),
    };
    report.add(
        Finding::new(verdict, "host name", "", what)
            .seen(format!("from {}", host.origin))
            .then(next),
    );
}

/// Descriptors that are no log files: sockets, the state folder, inotify.
const DESCRIPTORS_OTHER: u64 = 64;

fn limits(config: &Config, report: &mut Report) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let wanted = config.source.open_files_max as u64 + DESCRIPTORS_OTHER;
    let seen = format!(
        "RLIMIT_NOFILE {}, source.max_open_files {}",
        limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string()),
        config.source.open_files_max
    );
    let finding = match limit {
        Some(limit) if limit < wanted => Finding::new(
            Verdict::Warning,
            "open files",
            "",
            "the process may hold fewer descriptors than source.max_open_files: fewer deleted \
             logs can be kept readable",
        )
        .then("raise the limit (compose: ulimits.nofile; systemd: LimitNOFILE), or lower the key"),
        _ => Finding::new(
            Verdict::Ok,
            "open files",
            "",
            "there are enough descriptors",
        ),
    };
    report.add(finding.seen(seen));
}
