//! Restores of a real PostgreSQL and Redis: by content, in parts, killed at any moment, and by hand with
//! nothing but docs/backup.md.
//!
//! Tests named after a row of the table of faults (`t30_…`) hold that row.

#![allow(clippy::unwrap_used)]

#[path = "../host/mod.rs"]
mod host;
#[path = "../engine_backup/setup.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod setup;

mod content;
mod kill;
mod part;
mod recovery;
mod row;
