//! What `/metrics` and `/status` say of the state.

use agent_core::ledger::Count;
use serde_json::json;

use super::{Snapshot, starting, unready};
use crate::ledger;

/// Losses that the status shows one by one.
const LOSSES_SHOWN_MAX: usize = 100;

type Counter = (&'static str, fn(Count) -> u64);

/// What the ledger counts, over restarts.
const LOSS_COUNTERS: [Counter; 2] = [
    ("losses", |count| count.losses),
    ("lost_bytes", |count| count.bytes),
];

/// The body of `/metrics`: the Prometheus text format.
pub fn metrics(snapshot: &Snapshot) -> String {
    let (stats, gauges) = (&snapshot.stats, &snapshot.gauges);
    let counters = [
        ("read_bytes", stats.read_bytes),
        ("lines", stats.lines),
        ("entries", stats.entries),
        ("accepted_entries", stats.accepted_entries),
        ("accepted_bytes", stats.accepted_bytes),
        ("accepted_batches", stats.accepted_batches),
        ("malformed_lines", stats.malformed_lines),
        ("expired_lines", stats.expired_lines),
        ("skipped_lines", stats.skipped_lines),
        ("nul_bytes", stats.nul_bytes),
        ("parts", stats.parts),
        ("unavailable_attempts", stats.unavailable),
        ("refused_attempts", stats.refused),
        ("denied_attempts", stats.denied),
        ("quarantined_entries", stats.quarantined),
        ("spooled_batches", stats.spooled),
        ("spool_lost_entries", stats.spool_lost_entries),
        ("checkpoints", stats.saves),
        ("checkpoint_failures", stats.saves_failed),
        ("gap_markers", stats.gap_markers),
        ("evicted_file_bytes", snapshot.evicted_bytes),
    ];
    let values = [
        ("containers", gauges.containers as u64),
        ("generations", gauges.generations as u64),
        ("memory_bytes", gauges.memory_bytes as u64),
        ("in_flight_batches", gauges.in_flight as u64),
        ("queued_batches", gauges.queued as u64),
        ("spool_batches", snapshot.spool.segments as u64),
        ("spool_bytes", snapshot.spool.bytes),
        ("lag_bytes", gauges.lag_bytes),
        ("open_files", snapshot.open_files as u64),
        ("held_file_bytes", snapshot.held_bytes),
        ("denied", u64::from(gauges.denied)),
        ("unavailable", u64::from(gauges.unavailable)),
        ("watch_degraded", u64::from(!snapshot.watch_whole)),
    ];
    let mut text = String::new();
    for (name, value) in counters {
        text += &format!(
            "# TYPE platform_agent_{name}_total counter\nplatform_agent_{name}_total {value}\n"
        );
    }
    let by_reason = snapshot.losses.by_reason();
    for (name, of) in LOSS_COUNTERS {
        text += &format!("# TYPE platform_agent_{name}_total counter\n");
        for reason in agent_core::ledger::REASONS {
            let count = by_reason.get(reason).copied().unwrap_or_default();
            let value = of(count);
            text += &format!("platform_agent_{name}_total{{reason=\"{reason}\"}} {value}\n");
        }
    }
    for (name, value) in values {
        text += &format!("# TYPE platform_agent_{name} gauge\nplatform_agent_{name} {value}\n");
    }
    text
}

/// The body of `/status`: one JSON object.
pub fn status(snapshot: &Snapshot) -> String {
    let (stats, gauges) = (&snapshot.stats, &snapshot.gauges);
    let containers: Vec<_> = snapshot
        .containers
        .iter()
        .map(|container| {
            json!({
                "id": container.id.to_string(), "name": container.name,
                "generations": container.generations, "read_bytes": container.read_bytes,
                "lag_bytes": container.lag_bytes, "last_time": container.last_time,
            })
        })
        .collect();
    let left_out: Vec<_> = snapshot
        .left_out
        .iter()
        .map(|(name, why)| json!({ "name": name, "reason": why }))
        .collect();
    let records = snapshot.losses.records();
    let newest = &records[records.len().saturating_sub(LOSSES_SHOWN_MAX)..];
    let by_reason = snapshot.losses.by_reason();
    let lost_bytes: u64 = by_reason.values().map(|count| count.bytes).sum();
    let mut text = json!({
        "schema": "platform-agent/status/1",
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": snapshot.at.as_secs(),
        "ready": unready(snapshot).is_none(),
        "unready_reason": unready(snapshot),
        "starting": starting(snapshot).is_some(),
        "send_error": snapshot.send_error,
        "accepted_entries": stats.accepted_entries,
        "accepted_bytes": stats.accepted_bytes,
        "lag_bytes": gauges.lag_bytes,
        "memory_bytes": gauges.memory_bytes,
        "lost_bytes": lost_bytes,
        "lost_by_reason": ledger::command::by_reason(&snapshot.losses),
        "spool": {
            "batches": snapshot.spool.segments,
            "bytes": snapshot.spool.bytes,
            "error": snapshot.spool_error,
        },
        "first_to_lose": snapshot.first_to_lose.as_ref().map(|(name, left)| {
            json!({ "container": name, "seconds": left.as_secs() })
        }),
        "containers": containers,
        "left_out": left_out,
        "losses": newest,
    })
    .to_string();
    text.push('\n');
    text
}
