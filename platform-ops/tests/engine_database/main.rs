//! Databases made, made anew, brought back and dropped, on a running stack.

#![allow(clippy::unwrap_used)]

#[path = "../alembic/mod.rs"]
mod alembic;
#[path = "../host/mod.rs"]
mod host;

mod addition;
mod install;
mod kill;
mod removal;
mod setup;
