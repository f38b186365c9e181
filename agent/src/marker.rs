//! Entries that the agent writes about itself: the test entry of `check`, and the heartbeat.

use std::time::SystemTime;

use agent_core::stamp;
use anyhow::Context;
use serde_json::json;

use crate::config::Config;
use crate::{host, store};

/// One entry in a PutLogs body of its own.
#[derive(Clone, Debug)]
pub struct Marker {
    /// The body.
    pub body: Vec<u8>,
    /// The entry's id: `<kind>-<16 hex digits>`.
    pub id: String,
    /// The entry's time, RFC 3339.
    pub time: String,
}

/// `type` of such entries: `source.type_prefix`, and the kind behind it.
pub fn type_of(config: &Config, kind: &str) -> String {
    format!("{}.{kind}", config.source.type_prefix)
}

impl Marker {
    /// An entry of this kind with this text.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(config: &Config, kind: &str, data: &str) -> anyhow::Result<Self> {
        let random = store::random()
            .ok()
            .context("no random numbers to be had")?;
        let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let (id, time) = (format!("{kind}-{random:016x}"), stamp::from_wall(wall));
        let body = json!({
            "specversion": "1.0",
            "logEntryBatches": [{
                "source": host::name(&config.source).name,
                "type": type_of(config, kind),
                "subject": format!("platform-agent {kind}"),
                "defaultlogentrytime": time,
                "entries": [{ "data": data, "id": id, "time": time }],
            }],
        });
        let body = serde_json::to_vec(&body)?;
        Ok(Self { body, id, time })
    }
}
