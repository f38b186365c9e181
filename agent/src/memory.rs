//! How `[memory] budget` is shared out.
//!
//! The budget is meant for the whole process as the kernel counts it (resident set), so what
//! does not grow with the backlog is taken off first:
//!
//! | part | bytes |
//! |---|---|
//! | program, runtime, TLS, thread stacks, HTTP buffers, allocator slack | 9 MiB |
//! | read buffer, one chunk | 256 KiB |
//! | gzip decoders, [`GZ_DECODERS_MAX`] of ~352 KiB each | 2.75 MiB |
//! | compressed copies of the bodies in flight (only with `compression = "gzip"`) | ⅓ of them |
//!
//! The rest is the core's: bodies being filled, waiting and in flight, and joins. Several pipelines
//! share it.

use oci::ContentEncoding;

use crate::config::Config;

/// gzip decoders open at once.
pub const GZ_DECODERS_MAX: usize = 8;
/// Taken off the budget before anything else.
pub const FIXED_BYTES: u64 = 12 * 1024 * 1024;
/// What a second pipeline and each further one takes besides its bodies: read buffer, decoders.
const PIPELINE_BYTES: u64 = 2 * 1024 * 1024;
/// Bodies that must fit into the core's share: one being sent while another is filled.
const BODIES_MIN: u64 = 2;

/// What the core of each pipeline may take of the budget, bytes.
///
/// # Errors
/// When two bodies of `[batch] max_bytes` do not fit into it.
pub fn plan(config: &Config) -> Result<usize, String> {
    let copies = match config.logging.encoding {
        ContentEncoding::Gzip => config.batch.bytes_max * config.send.in_flight_max as u64 / 3,
        _ => 0,
    };
    let pipelines = config.limits.pipelines as u64;
    let fixed = FIXED_BYTES + PIPELINE_BYTES * (pipelines - 1) + copies;
    let share = config.memory_budget_bytes.saturating_sub(fixed) / pipelines;
    let least = BODIES_MIN * config.batch.bytes_max;
    if share < least {
        let needed = bytesize::ByteSize(fixed + least * pipelines);
        return Err(format!(
            "is too small for batch.max_bytes: at least {needed} is needed for limits.pipelines = \
             {pipelines}, or a smaller max_bytes"
        ));
    }
    usize::try_from(share).map_err(|error| error.to_string())
}
