//! Each container: what endangers its log, and what of it the first start would send.

use std::fs::File;
use std::io;
use std::time::{Duration, SystemTime};

use agent_core::ContainerId;
use bytesize::ByteSize;
use jiff::Timestamp;

use super::cutoff::{self, Measure};
use super::finding::{Backlog, Finding, Report, Verdict};
use super::right;
use crate::config::Config;
use crate::container::Description;
use crate::discover::{Discovery, Known, LeftOut, Standing};
use crate::host;

/// A description that is not there now is not waited for.
const NO_PATIENCE: Duration = Duration::from_secs(3_600);
/// Names shown of those that are well.
const NAMES_SHOWN: usize = 8;

/// Looks at every container.
pub fn check(config: &Config, now: SystemTime, is_first_start: bool, report: &mut Report) {
    let mut discovery = Discovery::new(&config.source, host::own_container());
    if let Err(error) = discovery.scan(Duration::ZERO) {
        // It could be read a moment ago.
        report.add(Finding::new(
            Verdict::Error,
            "containers",
            "",
            error.to_string(),
        ));
        return;
    }
    let ids: Vec<ContainerId> = discovery.iter().map(|(id, _)| id).collect();
    let mut followed = Vec::new();
    let mut by_name = Vec::new();
    for id in ids {
        let Some(known) = discovery.describe(id, NO_PATIENCE).cloned() else {
            continue;
        };
        let name = known.name(id);
        match &known.standing {
            Standing::LeftOut(LeftOut::ByName) => by_name.push(name),
            Standing::LeftOut(LeftOut::Own) => {
                report.add(Finding::new(
                    Verdict::Note,
                    "container",
                    name,
                    "is the agent itself: left out, unless source.include_self is set",
                ));
            }
            Standing::LeftOut(LeftOut::Driver(driver)) => other_driver(&name, driver, report),
            Standing::Followed | Standing::Undescribed => {
                dangers(&name, &known, report);
                followed.push((id, name));
            }
        }
    }
    summary(config, &followed, &by_name, report);
    let cutoff = cutoff_time(config, now);
    let backlogs = followed
        .iter()
        .filter_map(|(id, name)| backlog(&discovery, *id, name, cutoff, report))
        .collect();
    if is_first_start {
        first_start(config, backlogs, report);
    }
}

fn summary(
    config: &Config,
    followed: &[(ContainerId, String)],
    by_name: &[String],
    report: &mut Report,
) {
    let shown = |names: Vec<&str>| match names.split_at_checked(NAMES_SHOWN) {
        Some((first, rest)) if !rest.is_empty() => {
            format!("{} and {} more", first.join(", "), rest.len())
        }
        _ => names.join(", "),
    };
    if !by_name.is_empty() {
        let names = shown(by_name.iter().map(String::as_str).collect());
        report.add(
            Finding::new(
                Verdict::Note,
                "containers",
                "",
                format!(
                    "left out by source.include and source.exclude: {}",
                    by_name.len()
                ),
            )
            .seen(names),
        );
    }
    if followed.is_empty() {
        report.add(
            Finding::new(
                Verdict::Warning,
                "containers",
                "",
                "there is none to follow",
            )
            .seen(format!("in {}", config.source.containers_dir.display()))
            .then(
                "is this the engine's data root? `docker info -f '{{.DockerRootDir}}'` names \
                     it; is source.include too narrow?",
            ),
        );
        return;
    }
    let names = shown(followed.iter().map(|(_, name)| name.as_str()).collect());
    report.add(
        Finding::new(
            Verdict::Ok,
            "containers",
            "",
            format!("followed: {}", followed.len()),
        )
        .seen(names),
    );
}

fn other_driver(name: &str, driver: &str, report: &mut Report) {
    report.add(
        Finding::new(
            Verdict::Warning,
            "log driver",
            name,
            format!("writes no json-file: nothing of it can be shipped, driver={driver}"),
        )
        .seen(format!("hostconfig.json: LogConfig.Type is {driver}"))
        .then("make it anew with --log-driver json-file (compose: logging.driver), or exclude it"),
    );
}

/// What Docker does to the log of a container that is followed.
fn dangers(name: &str, known: &Known, report: &mut Report) {
    let Some(description) = &known.description else {
        report.add(
            Finding::new(
                Verdict::Warning,
                "description",
                name,
                "has no description that can be read: it is followed under its short id",
            )
            .seen("config.v2.json is missing, torn or not readable")
            .then("a restart of the container makes Docker write it again"),
        );
        return;
    };
    if description.host.auto_remove {
        report.add(
            Finding::new(
                Verdict::Warning,
                "--rm",
                name,
                "its log is deleted the moment it exits: what was not read by then is only safe \
                 while the agent runs and holds the file",
            )
            .seen("hostconfig.json: AutoRemove is true")
            .then("run it without --rm and remove it later"),
        );
    }
    if let Some(seen) = single_file(description) {
        report.add(
            Finding::new(
                Verdict::Warning,
                "max-file",
                name,
                "keeps one log file: each rotation deletes everything, and there is nothing to \
                 catch up from after the agent was down",
            )
            .seen(seen)
            .then("make it anew with --log-opt max-file=5 (compose: logging.options)"),
        );
    }
}

/// The options by which a rotation leaves nothing. Docker's own default for max-file is 1 (moby
/// `jsonfilelog.go`); without max-size there is no rotation.
fn single_file(description: &Description) -> Option<String> {
    let option = |name: &str| description.host.options.get(name);
    let size = option("max-size").filter(|size| *size != "-1")?;
    match option("max-file") {
        None => Some(format!(
            "hostconfig.json: max-size={size}, max-file is not set"
        )),
        Some(files) if files == "1" => {
            Some(format!("hostconfig.json: max-size={size}, max-file=1"))
        }
        Some(_) => None,
    }
}

/// Older lines are not sent by the first start.
fn cutoff_time(config: &Config, now: SystemTime) -> Option<Timestamp> {
    let now = Timestamp::try_from(now).ok()?;
    let retention = config.logging.retention;
    let kept = (!retention.is_zero())
        .then(|| now.checked_sub(retention).ok())
        .flatten();
    config.source.start_at.cutoff(now).max(kept)
}

fn backlog(
    discovery: &Discovery,
    id: ContainerId,
    name: &str,
    cutoff: Option<Timestamp>,
    report: &mut Report,
) -> Option<Backlog> {
    let folder = discovery.folder(id);
    let files = match discovery.look(id) {
        Ok(look) => look.files,
        // Removed meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            report.add(right::denied("container", name, &folder, &error));
            return None;
        }
    };
    let mut backlog = Backlog {
        container: name.to_owned(),
        send_bytes: 0,
        log_bytes: 0,
    };
    for file in files {
        let path = folder.join(&file.name);
        // Opened first: an error of what follows is one of its content.
        let measured = match File::open(&path) {
            Ok(_) => cutoff::measure(&path, file.compressed, cutoff),
            // Rotated meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                report.add(right::denied("log file", name, &path, &error));
                return None;
            }
        };
        match measured {
            Ok(Measure {
                log_bytes,
                send_bytes,
            }) => {
                backlog.log_bytes += log_bytes;
                backlog.send_bytes += send_bytes;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => report.add(
                Finding::new(
                    Verdict::Warning,
                    "log file",
                    name,
                    "cannot be read to its end: what stands behind the damage is lost",
                )
                .seen(format!("{}: {error}", path.display()))
                .then("look at the disk (dmesg); a torn .gz is what a crash of dockerd leaves"),
            ),
        }
    }
    Some(backlog)
}

fn first_start(config: &Config, mut backlogs: Vec<Backlog>, report: &mut Report) {
    backlogs.sort_by_key(|backlog| std::cmp::Reverse(backlog.send_bytes));
    let send: u64 = backlogs.iter().map(|backlog| backlog.send_bytes).sum();
    let all: u64 = backlogs.iter().map(|backlog| backlog.log_bytes).sum();
    report.add(
        Finding::new(
            Verdict::Ok,
            "first start",
            "",
            format!("would send {} of logs ({send} bytes)", ByteSize(send)),
        )
        .seen(format!(
            "{} are there; source.start_at is {}, logging.retention {}",
            ByteSize(all),
            config.source.start_at,
            humantime::format_duration(config.logging.retention),
        )),
    );
    report.first_start = Some(backlogs);
}
