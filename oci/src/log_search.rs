//! OCI Logging Search: SearchLogs.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::request::Body;
use crate::signer;

/// The version in the path of the Logging Search API.
const API_VERSION: &str = "20190909";

/// Results asked for at once; the service gives 100 unless told otherwise, 1,000 at most.
const LIMIT: u32 = 1_000;

/// What is searched for.
#[derive(Clone, Debug)]
pub struct LogQuery {
    /// In OCI's query language: `search "compartment/group/log" | where …`.
    pub query: String,
    /// Entries from this time on, RFC 3339.
    pub from: String,
    /// Entries up to this time, RFC 3339.
    pub to: String,
}

/// Searches what OCI Logging has stored. A clone shares the client.
#[derive(Clone, Debug)]
pub struct LogSearch {
    client: Client,
    endpoint: Endpoint,
}

/// `SearchResponse`; what else is in it is not looked at.
#[derive(Deserialize)]
struct SearchResponse {
    #[serde(default)]
    results: Option<Vec<SearchResult>>,
}

#[derive(Deserialize)]
struct SearchResult {
    data: serde_json::Value,
}

impl LogSearch {
    /// Searches through `client` at `endpoint` ([`crate::Service::LoggingSearch`]).
    pub fn new(client: Client, endpoint: Endpoint) -> Self {
        Self { client, endpoint }
    }

    /// The first page of what was found, each entry as the service describes it.
    ///
    /// # Errors
    /// Every [`ErrorKind`].
    pub async fn search(&self, query: &LogQuery) -> Result<Vec<serde_json::Value>> {
        let target = format!("/{API_VERSION}/search?limit={LIMIT}");
        let body = json!({
            "timeStart": query.from,
            "timeEnd": query.to,
            "searchQuery": query.query,
            "isReturnFieldInfo": false,
        });
        let bytes = Bytes::from(body.to_string());
        let sha256 = signer::digest(&bytes);
        let body = Body {
            bytes,
            sha256: &sha256,
            headers: &[],
        };
        let answer = self.client.post(&self.endpoint, &target, body).await?;
        let found: SearchResponse = serde_json::from_slice(&answer.body).map_err(|error| {
            let text = format!("the answer is no SearchResponse: {error}");
            Error::new(ErrorKind::Unexpected, text)
                .at_endpoint(format!("POST {}{target}", self.endpoint))
        })?;
        let results = found.results.unwrap_or_default();
        Ok(results.into_iter().map(|result| result.data).collect())
    }
}
