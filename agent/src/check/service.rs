//! The way to OCI: credentials, the endpoint, one marked entry, the clocks.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use oci::{ContentEncoding, Credentials, Error, ErrorKind, LogClient};
use tokio::runtime::Runtime;

use super::finding::{Finding, Report, Verdict};
use super::roundtrip::{self, Sought};
use crate::config::Config;
use crate::marker::Marker;
use crate::{host, run, sender};

/// What is left to the caller.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Send one marked entry.
    pub send: bool,
    /// Search for it, for so long at most.
    pub search: Option<Duration>,
}

/// The last word of the test entry's `type`.
const KIND: &str = "check";
/// What the test entry says.
const DATA: &str = "platform-agent check: test entry";
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
    let mut found = None;
    let (date, finding) = match options.send {
        true => {
            let data = format!("{DATA} from {}", host::name(&config.source).name);
            match Marker::new(config, KIND, &data) {
                Ok(marker) => {
                    let sought = Sought {
                        id: marker.id.clone(),
                        kind: KIND,
                        time: marker.time.clone(),
                    };
                    let answer = send(config, &client, &runtime, marker, report);
                    let is_accepted = answer
                        .1
                        .as_ref()
                        .is_some_and(|it| it.verdict == Verdict::Ok);
                    found = options
                        .search
                        .filter(|_| is_accepted)
                        .map(|limit| roundtrip::check(config, &client, &runtime, &sought, limit));
                    answer
                }
                Err(error) => {
                    let text = format!("{error:#}");
                    (None, Some(Finding::new(Verdict::Error, "entry", "", text)))
                }
            }
        }
        false => reach(&client, &runtime, report),
    };
    report.findings.extend(finding);
    report.findings.extend(found);
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
fn send(
    config: &Config,
    client: &LogClient,
    runtime: &Runtime,
    marker: Marker,
    report: &mut Report,
) -> Answer {
    let encoding = config.logging.encoding;
    let id = marker.id;
    let body = Arc::new(marker.body);
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
