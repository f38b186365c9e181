//! Backups that are proven: restored before they count.
//!
//! A set is a folder of sealed objects and a [`manifest`] that goes up last; `docs/backup.md` is
//! the format for a stranger. [`create`] makes one, [`verify`] reads every byte of it, [`drill`]
//! restores it into throw-away containers, [`restore`] brings it back beside what lives.

pub mod alarm;
pub mod catalog;
pub mod check;
pub mod config;
pub mod container;
pub mod create;
pub mod drill;
pub mod exec;
pub mod folder;
pub mod globals;
pub mod journal;
pub mod key;
pub mod listing;
pub mod manifest;
pub mod metrics;
pub mod open;
pub mod outcome;
mod pipe;
pub mod policy;
pub mod pooler;
pub mod progress;
pub mod prune;
pub mod psql;
pub mod redis;
pub mod redis_files;
pub mod redis_restore;
pub mod restore;
pub mod schedule;
pub mod seal;
pub mod server;
pub mod source;
pub mod store;
pub mod stream;
pub mod swap;
pub mod sweep;
pub mod target;
pub mod throwaway;
pub mod tree;
pub mod verify;
pub mod webhook;
