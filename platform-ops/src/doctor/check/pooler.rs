//! PgBouncer.

use super::container::each;
use super::host::version as parse_version;
use super::{Facts, Fault, Finding, Warning, finding};
use crate::container::Container;
use crate::service::Service;

const SUBJECT: Service = Service::Pgbouncer;
/// A client that waits longer for a connection notices.
const WAIT_SECONDS_MAX: i64 = 5;
const RETRY_SECONDS_MAX: u64 = 5;

fn container(facts: &Facts) -> Option<&Container> {
    each(facts)
        .find(|(service, _)| *service == SUBJECT)
        .map(|(_, container)| container)
}

/// A setting of SHOW CONFIG, as a number.
fn number(facts: &Facts, name: &str) -> Option<u64> {
    facts.pooler.as_ref()?.config.get(name)?.parse().ok()
}

pub(super) fn entrypoint(facts: &Facts) -> Vec<Finding> {
    let through = container(facts).filter(|container| {
        container
            .entrypoint
            .iter()
            .any(|word| word.contains("entrypoint.sh"))
    });
    let evidence = "it starts through the image's entrypoint, which appends to its configuration at every start";
    through
        .map(|_| {
            finding(
                Warning,
                SUBJECT,
                evidence,
                "entrypoint: [/usr/bin/pgbouncer], its configuration as a mounted folder",
            )
        })
        .into_iter()
        .collect()
}

pub(super) fn stop_signal(facts: &Facts) -> Vec<Finding> {
    let waits = container(facts).filter(|container| {
        !matches!(
            container.stop_signal.as_str(),
            "SIGINT" | "SIGQUIT" | "2" | "3"
        )
    });
    let evidence = "from 1.23 on SIGTERM waits for every client to leave: a stop ends with a kill";
    waits
        .map(|_| finding(Warning, SUBJECT, evidence, "stop_signal: SIGINT"))
        .into_iter()
        .collect()
}

pub(super) fn version(facts: &Facts) -> Vec<Finding> {
    let Some(pooler) = &facts.pooler else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    if parse_version(&pooler.version).is_some_and(|version| version < (1, 24)) {
        let evidence = format!(
            "{}: older than 1.24.1, which heeds VALID UNTIL (CVE-2025-2291)",
            pooler.version
        );
        findings.push(finding(
            Warning,
            SUBJECT,
            evidence,
            "platform-ops pull with PLATFORM_PGBOUNCER_IMAGE at 1.24.1 or newer",
        ));
    }
    if pooler
        .config
        .get("pool_mode")
        .is_some_and(|mode| mode != "session")
        && number(facts, "max_prepared_statements") == Some(0)
    {
        findings.push(finding(
            Warning,
            SUBJECT,
            "max_prepared_statements is 0: prepared statements break in this pool mode",
            "max_prepared_statements = 200",
        ));
    }
    findings
}

pub(super) fn login(facts: &Facts) -> Vec<Finding> {
    let error = facts
        .pooler
        .as_ref()
        .and_then(|pooler| pooler.login_error.as_ref());
    error
        .map(|error| {
            finding(
                Fault,
                SUBJECT,
                format!("a login through it does not reach the database: {error}"),
                "platform-ops up; platform-ops logs pgbouncer postgres",
            )
        })
        .into_iter()
        .collect()
}

pub(super) fn retry(facts: &Facts) -> Vec<Finding> {
    let slow = number(facts, "server_login_retry").filter(|seconds| *seconds > RETRY_SECONDS_MAX);
    let evidence = |seconds| {
        format!(
            "server_login_retry is {seconds} s: so long clients are refused after the database is back"
        )
    };
    slow.map(|seconds| {
        finding(
            Warning,
            SUBJECT,
            evidence(seconds),
            "server_login_retry = 1",
        )
    })
    .into_iter()
    .collect()
}

pub(super) fn md5(facts: &Facts) -> Vec<Finding> {
    let users = facts.pooler.iter().flat_map(|pooler| &pooler.md5_users);
    users
        .map(|user| {
            finding(
                Fault,
                user,
                "its secret in userlist.txt is an md5 hash: no login to a SCRAM server",
                "platform-ops up writes userlist.txt anew",
            )
        })
        .collect()
}

pub(super) fn paused(facts: &Facts) -> Vec<Finding> {
    let databases = facts.pooler.iter().flat_map(|pooler| &pooler.paused);
    databases
        .map(|database| {
            finding(
                Fault,
                database,
                "PgBouncer holds its clients back: it is paused",
                "RESUME in PgBouncer's console",
            )
        })
        .collect()
}

pub(super) fn waiting(facts: &Facts) -> Vec<Finding> {
    let waiting = facts
        .pooler
        .as_ref()
        .map(|pooler| pooler.waiting)
        .filter(|(_, seconds)| *seconds > WAIT_SECONDS_MAX);
    let evidence = |(clients, seconds)| {
        format!("{clients} clients wait for a connection, one for {seconds} s")
    };
    waiting
        .map(|waiting| {
            finding(
                Warning,
                SUBJECT,
                evidence(waiting),
                "raise PLATFORM_PGBOUNCER_POOL_SIZE, or find what holds connections",
            )
        })
        .into_iter()
        .collect()
}

pub(super) fn pool_size(facts: &Facts) -> Vec<Finding> {
    let max = facts.postgres.as_ref().and_then(|postgres| {
        postgres
            .settings
            .get("max_connections")?
            .parse::<u64>()
            .ok()
    });
    let Some((pool, max)) = number(facts, "default_pool_size").zip(max) else {
        return Vec::new();
    };
    if pool < max {
        return Vec::new();
    }
    let evidence = format!(
        "default_pool_size is {pool}, max_connections {max}: one pool alone can take them all"
    );
    vec![finding(
        Warning,
        SUBJECT,
        evidence,
        "lower PLATFORM_PGBOUNCER_POOL_SIZE",
    )]
}
