//! Health checks that lie.

use super::container::each;
use super::{Facts, Fault, Finding, Warning, finding};
use crate::service::Service;

/// The command of a service's health check.
fn test(facts: &Facts, wanted: Service) -> Option<String> {
    let (_, container) = each(facts).find(|(service, _)| *service == wanted)?;
    (!container.health_test.is_empty()).then(|| container.health_test.join(" "))
}

pub(super) fn missing(facts: &Facts) -> Vec<Finding> {
    each(facts)
        .filter(|(_, container)| {
            container.health_test.is_empty() || container.health_test[0] == "NONE"
        })
        .map(|(service, _)| {
            finding(
                Warning,
                service,
                "it has no health check: running counts as healthy",
                "see compose.yaml of the platform",
            )
        })
        .collect()
}

pub(super) fn postgres(facts: &Facts) -> Vec<Finding> {
    let test = test(facts, Service::Postgres)
        .filter(|test| test.contains("pg_isready") || test.contains("psql"));
    let over_socket = test.filter(|test| {
        !test.contains("-h") && !test.contains("--host") && !test.contains("PGHOST")
    });
    let evidence = |test: String| {
        format!(
            "{test:?} asks over the socket: green while initdb's server runs, which nobody can reach"
        )
    };
    over_socket
        .map(|test| {
            finding(
                Fault,
                Service::Postgres,
                evidence(test),
                "pg_isready -h 127.0.0.1, or a query over TCP",
            )
        })
        .into_iter()
        .collect()
}

pub(super) fn redis(facts: &Facts) -> Vec<Finding> {
    let test = test(facts, Service::Redis).filter(|test| test.contains("ping"));
    let blind = test
        .filter(|test| !test.contains(" -e") && !test.contains("grep") && !test.contains("PONG"));
    let evidence = |test: String| format!("{test:?} ends with 0 when the password is refused");
    blind
        .map(|test| {
            finding(
                Fault,
                Service::Redis,
                evidence(test),
                "redis-cli -e ping | grep -qx PONG, with REDISCLI_AUTH",
            )
        })
        .into_iter()
        .collect()
}

pub(super) fn pgbouncer(facts: &Facts) -> Vec<Finding> {
    let Some((_, container)) = each(facts).find(|(service, _)| *service == Service::Pgbouncer)
    else {
        return Vec::new();
    };
    let test = container.health_test.join(" ");
    let uses_nc = test.contains("nc -z") || test.contains("netcat");
    if uses_nc && container.image.contains("percona") {
        let evidence = format!("{test:?}: the image installs no nc, so this cannot succeed");
        return vec![finding(
            Fault,
            Service::Pgbouncer,
            evidence,
            "bash -c 'exec 3<>/dev/tcp/127.0.0.1/6432'",
        )];
    }
    Vec::new()
}
