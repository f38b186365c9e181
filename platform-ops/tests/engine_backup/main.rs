//! Backups of a real PostgreSQL and Redis, into a folder and into the emulator's bucket.
//!
//! Tests named after a row of the table of faults (`t04_…`) hold that row.

#![allow(clippy::unwrap_used)]

#[path = "../host/mod.rs"]
mod host;
#[path = "../relay/mod.rs"]
mod relay;

mod bucket;
mod create;
mod damage;
mod drill;
mod fault;
mod kills;
mod outcome;
mod program;
mod redis;
mod refusal;
mod restore;
mod setup;
