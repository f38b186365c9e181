//! Proof from the other side: the test entry is searched for until it is found. That a request was
//! accepted does not prove that it was stored.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use oci::{Endpoint, Error, LogClient, LogQuery, LogSearch, Service};
use tokio::runtime::Runtime;

use super::finding::{Finding, Verdict};
use crate::config::Config;
use crate::marker;

const CHECK: &str = "roundtrip";
/// Between two searches: the service limits their rate.
const PAUSE: Duration = Duration::from_secs(1);
/// The search window reaches so far to both sides of the entry's time.
const WINDOW: Duration = Duration::from_secs(600);

/// The entry that is searched for.
#[derive(Clone, Debug)]
pub struct Sought {
    /// Its id.
    pub id: String,
    /// The last word of its type.
    pub kind: &'static str,
    /// Its time, RFC 3339.
    pub time: String,
}

/// Searches for `sought`, for at most `limit`.
pub fn check(
    config: &Config,
    client: &LogClient,
    runtime: &Runtime,
    sought: &Sought,
    limit: Duration,
) -> Finding {
    let (search, query) = match prepare(config, client, runtime, sought) {
        Ok(prepared) => prepared,
        Err(error) => {
            return Finding::new(Verdict::Error, CHECK, "", format!("{error:#}"))
                .then("set logging.search_scope = \"<compartment OCID>/<log group OCID>\"");
        }
    };
    let began = Instant::now();
    match runtime.block_on(find(&search, &query, &sought.id, limit)) {
        Ok(true) => {
            let seconds = began.elapsed().as_secs_f64();
            let what = format!("the entry was found by search after {seconds:.1} s");
            Finding::new(Verdict::Ok, CHECK, "", what).seen(format!("id {}", sought.id))
        }
        Ok(false) => Finding::new(
            Verdict::Error,
            CHECK,
            "",
            format!(
                "the entry was accepted and could not be found within {}",
                humantime::format_duration(limit)
            ),
        )
        .seen(format!("id {}, {}", sought.id, query.query))
        .then(
            "is search_scope the compartment and group of this log? is the clock right, the log \
             enabled? OCI accepts and drops what is older than the log's retention",
        ),
        Err(error) => Finding::new(Verdict::Error, CHECK, "", "the log cannot be searched")
            .seen(error.to_string())
            .then(
                "a policy has to say: allow group <group> to read log-content in compartment \
                 <compartment>",
            ),
    }
}

fn prepare(
    config: &Config,
    client: &LogClient,
    runtime: &Runtime,
    sought: &Sought,
) -> Result<(LogSearch, LogQuery)> {
    let logging = &config.logging;
    let scope = logging
        .search_scope
        .as_deref()
        .context("where to search is not known")?;
    let endpoint = match logging
        .search_endpoint
        .as_ref()
        .or(logging.endpoint.as_ref())
    {
        Some(endpoint) => Endpoint::parse(endpoint)?,
        None => {
            let region = runtime.block_on(client.client().region())?;
            Endpoint::of(Service::LoggingSearch, &region)?
        }
    };
    let time: jiff::Timestamp = sought.time.parse()?;
    let query = LogQuery {
        query: format!(
            "search \"{}/{}\" | where type = '{}' | sort by datetime desc",
            scope.trim_end_matches('/'),
            logging.log_id,
            marker::type_of(config, sought.kind)
        ),
        from: time.checked_sub(WINDOW)?.to_string(),
        to: time.checked_add(WINDOW)?.to_string(),
    };
    Ok((LogSearch::new(client.client().clone(), endpoint), query))
}

async fn find(
    search: &LogSearch,
    query: &LogQuery,
    id: &str,
    limit: Duration,
) -> Result<bool, Error> {
    let until = Instant::now() + limit;
    loop {
        match search.search(query).await {
            Ok(found) if found.iter().any(|entry| entry.to_string().contains(id)) => {
                return Ok(true);
            }
            Err(error) if !error.is_retryable() => return Err(error),
            Err(error) if Instant::now() >= until => return Err(error),
            Ok(_) if Instant::now() >= until => return Ok(false),
            Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
