//! Rotation of secrets on the real servers, under load and under kills.
//!
//! Tests named after a row of the table of faults (`t47_…`) hold that row.

#![allow(clippy::unwrap_used)]

#[path = "../alembic/mod.rs"]
mod alembic;
#[path = "../by_hand/mod.rs"]
mod by_hand;
#[path = "../host/mod.rs"]
mod host;

mod application;
mod canary;
mod import;
mod kill;
mod redis;
mod refusal;
mod role;
mod setup;
mod window;
