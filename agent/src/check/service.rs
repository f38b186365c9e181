//! The way to OCI: credentials, the endpoint, one marked entry, the clocks.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agent_core::stamp;
use anyhow::Context;
use oci::{ContentEncoding, Credentials, Error, ErrorKind, LogClient};
use serde_json::json;
use tokio::runtime::Runtime;

use super::finding::{Finding, Report, Verdict};
use crate::config::Config;
use crate::{host, run, sender, store};

/// What is left to the caller.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Send one marked entry.
    pub send: bool,
}

/// What OCI tolerates ("Request Signatures").
const SKEW_MAX: Duration = Duration::from_secs(5 * 60);
/// A clock that is kept by NTP is never so far off.
const SKEW_WARNING: Duration = Duration::from_secs(30);

/// Loads the credentials, asks the service, compares clocks.
pub fn check(config: &Config, options: Options, report: &mut Report) {
    let runtime = match run::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            report.add(Finding::new(
                Verdict::Error,
                "endpoint",
                "",
                format!("{error:#}"),
            ));
            return;
        }
    };
    let Some(credentials) = credentials(config, report) else {
        return;
    };
    let client = match run::log_client_of(config, credentials, &runtime) {
        Ok(client) => client,
        Err(error) => {
            report.add(
                Finding::new(Verdict::Error, "endpoint", "", format!("{error:#}"))
                    .then("set oci.region or logging.endpoint; oci.ca_bundle for own authorities"),
            );
            return;
        }
    };
    let asked = SystemTime::now();
    let (date, finding) = match options.send {
        true => send(config, &client, &runtime, report),
        false => reach(&client, &runtime, report),
    };
    report.findings.extend(finding);
    if let Some(date) = date {
        let taken = asked.elapsed().unwrap_or_default();
        report.add(clock(asked + taken / 2, date));
    }
}

fn credentials(config: &Config, report: &mut Report) -> Option<Credentials> {
    let source = run::config_source(config);
    for warning in Credentials::warnings(config.oci.auth, &source) {
        report.add(
            Finding::new(Verdict::Warning, "credentials", "", warning).then("chmod 600 the file"),
        );
    }
    let choice = Credentials::choice(config.oci.auth, &source);
    let loaded = choice.and_then(|choice| Ok((Credentials::load(choice.kind, &source)?, choice)));
    match loaded {
        Ok((credentials, choice)) => {
            let finding = Finding::new(
                Verdict::Ok,
                "credentials",
                "",
                format!("can be loaded: {}", choice.kind.name()),
            );
            let until = credentials.expires().map_or_else(String::new, |until| {
                format!(", good until {}", humantime::format_rfc3339_seconds(until))
            });
            report.add(finding.seen(choice.reason + &until));
            Some(credentials)
        }
        Err(error) => {
            let next = error
                .hint()
                .unwrap_or("oci.auth, oci.config_file and oci.profile say which");
            report.add(
                Finding::new(Verdict::Error, "credentials", "", "cannot be loaded")
                    .seen(error.to_string())
                    .then(next),
            );
            None
        }
    }
}

type Answer = (Option<SystemTime>, Option<Finding>);

/// One entry that says what it is.
fn send(config: &Config, client: &LogClient, runtime: &Runtime, report: &mut Report) -> Answer {
    let (body, id) = match entry(config) {
        Ok(entry) => entry,
        Err(error) => {
            let finding = Finding::new(Verdict::Error, "entry", "", format!("{error:#}"));
            return (None, Some(finding));
        }
    };
    let encoding = config.logging.encoding;
    let body = Arc::new(body);
    let sealed = sender::seal(&body, encoding);
    let log_id = &config.logging.log_id;
    let sent = client.put_logs(log_id, sealed.bytes(body), &sealed.sha256, encoding);
    match runtime.block_on(sent) {
        Ok(accepted) => {
            report.ok("endpoint", client.endpoint().to_string(), "answers");
            let request = accepted.request_id.unwrap_or_default();
            let finding = Finding::new(
                Verdict::Ok,
                "entry",
                log_id.to_string(),
                "one marked entry was accepted",
            )
            .seen(format!("id {id}, opc-request-id {request}"));
            (accepted.date, Some(finding))
        }
        Err(error) => {
            let date = error.date();
            (date, refused(client, encoding, &error, report))
        }
    }
}

fn refused(
    client: &LogClient,
    encoding: ContentEncoding,
    error: &Error,
    report: &mut Report,
) -> Option<Finding> {
    if error.status().is_none() {
        report.add(unreachable(client, error));
        return None;
    }
    report.ok("endpoint", client.endpoint().to_string(), "answers");
    let next = match (error.hint(), error.kind()) {
        (Some(hint), _) => hint.to_owned(),
        (None, ErrorKind::BadRequest) if encoding == ContentEncoding::Gzip => {
            "set logging.compression to \"none\": Oracle does not document gzip".to_owned()
        }
        (None, ErrorKind::Throttled | ErrorKind::Server) => {
            "the agent would wait and try again; so can you".to_owned()
        }
        (None, _) => "Oracle's support asks for the opc-request-id above".to_owned(),
    };
    Some(
        Finding::new(Verdict::Error, "entry", "", "was not accepted")
            .seen(error.to_string())
            .then(next),
    )
}

fn unreachable(client: &LogClient, error: &Error) -> Finding {
    let endpoint = client.endpoint();
    Finding::new(
        Verdict::Error,
        "endpoint",
        endpoint.to_string(),
        "cannot be reached",
    )
    .seen(error.to_string())
    .then(format!(
        "can this host resolve and reach {}? HTTPS_PROXY, NO_PROXY, the firewall, and in OCI \
             a service gateway decide",
        endpoint.host()
    ))
}

/// Asks for nothing in particular, unsigned: any answer shows that somebody is there.
fn reach(client: &LogClient, runtime: &Runtime, report: &mut Report) -> Answer {
    match runtime.block_on(client.reach()) {
        Ok(date) => {
            report.ok("endpoint", client.endpoint().to_string(), "answers");
            let note = Finding::new(Verdict::Note, "entry", "", "none was sent: --no-send");
            (date, Some(note))
        }
        Err(error) => {
            report.add(unreachable(client, &error));
            (None, None)
        }
    }
}

/// A PutLogs body with one entry, and the entry's id.
fn entry(config: &Config) -> anyhow::Result<(Vec<u8>, String)> {
    let random = store::random()
        .ok()
        .context("no random numbers to be had")?;
    let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let (id, time) = (format!("check-{random:016x}"), stamp::from_wall(wall));
    let host = host::name(&config.source).name;
    let body = json!({
        "specversion": "1.0",
        "logEntryBatches": [{
            "source": host,
            "type": format!("{}.check", config.source.type_prefix),
            "subject": "platform-agent check",
            "defaultlogentrytime": time,
            "entries": [{
                "data": format!("platform-agent check: test entry from {host}"),
                "id": id,
                "time": time,
            }],
        }],
    });
    Ok((serde_json::to_vec(&body)?, id))
}

/// `ours` is the time halfway between question and answer.
fn clock(ours: SystemTime, theirs: SystemTime) -> Finding {
    let (skew, direction) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let what = format!("{} s {direction} the service's", skew.as_secs());
    let verdict = match skew {
        skew if skew > SKEW_MAX => Verdict::Error,
        skew if skew > SKEW_WARNING => Verdict::Warning,
        _ => Verdict::Ok,
    };
    let finding = Finding::new(verdict, "clock", "", what).seen(format!(
        "the service's Date is {}, ours {}",
        humantime::format_rfc3339_seconds(theirs),
        humantime::format_rfc3339_seconds(ours)
    ));
    match verdict {
        Verdict::Ok => finding,
        _ => finding.then(format!(
            "set it (chrony, systemd-timesyncd): from {} s on every request is refused with 401",
            SKEW_MAX.as_secs()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_an_error_only_where_the_service_refuses() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let verdict = |ahead: u64| clock(now + Duration::from_secs(ahead), now).verdict;
        assert_eq!(verdict(30), Verdict::Ok);
        assert_eq!(verdict(31), Verdict::Warning);
        assert_eq!(verdict(300), Verdict::Warning);
        assert_eq!(verdict(301), Verdict::Error);
        let behind = clock(now, now + Duration::from_secs(400));
        assert_eq!(behind.what, "400 s behind the service's");
    }
}
