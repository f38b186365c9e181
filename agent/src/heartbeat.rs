//! An entry of the agent's own every so often, so that an alarm can be set on its absence: it
//! says that the host, the agent and the way to the log are there.

use std::sync::Arc;
use std::time::Duration;

use oci::LogClient;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::admin::Board;
use crate::config::Config;
use crate::marker::Marker;
use crate::sender;

/// The last word of `type`.
pub const KIND: &str = "heartbeat";

/// How often it is seen whether the agent has started.
const START_INTERVAL: Duration = Duration::from_millis(200);

/// Beats until the runtime ends, once the agent has started. A beat that is not accepted is not sent again: its absence is the
/// message. An agent that is stuck does not beat.
pub async fn run(config: Config, every: Duration, client: LogClient, board: Board) {
    while board.is_starting() {
        tokio::time::sleep(START_INTERVAL).await;
    }
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(pulse) = board.pulse() else {
            continue;
        };
        let data = json!({
            "platform_agent": KIND,
            "version": env!("CARGO_PKG_VERSION"),
            "ready": pulse.is_ready,
            "lag_bytes": pulse.lag_bytes,
            "lost_bytes": pulse.lost_bytes,
            "accepted_entries": pulse.accepted_entries,
        });
        if let Err(error) = beat(&config, &client, &data.to_string()).await {
            tracing::debug!("a heartbeat was not accepted: {error:#}");
        }
    }
}

async fn beat(config: &Config, client: &LogClient, data: &str) -> anyhow::Result<()> {
    let marker = Marker::new(config, KIND, data)?;
    let encoding = config.logging.encoding;
    let body = Arc::new(marker.body);
    let sealed = sender::seal(&body, encoding);
    let bytes = sealed.bytes(body);
    let log_id = &config.logging.log_id;
    client
        .put_logs(log_id, bytes, &sealed.sha256, encoding)
        .await?;
    Ok(())
}
