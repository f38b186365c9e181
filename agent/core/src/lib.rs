//! The deterministic pipeline of platform-agent: it decides, the shell around it acts.
//!
//! No I/O, no clock, no threads, no randomness but its seed: the same events at the same times
//! give the same actions. Bytes come in as [`Event::Chunk`], request bodies go out as
//! [`Action::Send`], and the checkpoint ([`Action::Save`]) only ever covers what was accepted.
//!
//! Along the data: [`chain`] (which file is which), [`docker`] and [`escape`] (a line), [`join`]
//! (pieces), [`entry`] and [`batch`] (a body), `outbox` and `retry` (its way), `inflight`
//! (what is committed), [`checkpoint`].

pub mod batch;
mod bisect;
pub mod chain;
pub mod checkpoint;
mod clock;
pub mod docker;
pub mod entry;
pub mod escape;
pub mod event;
pub mod file_id;
mod follow;
mod gap;
pub mod generation;
pub mod identity;
mod inflight;
pub mod join;
mod lane;
pub mod ledger;
pub mod limits;
pub mod loss;
mod outbox;
pub mod pipeline;
pub mod planted;
mod probe;
mod retry;
mod saver;
mod schedule;
pub mod settings;
pub mod spool;
pub mod stamp;
mod state;
pub mod stats;
mod tail;
#[cfg(test)]
#[path = "../tests/fixtures/writer.rs"]
mod writer;

pub use checkpoint::CheckpointError;
pub use event::{
    Action, BatchId, Container, ContainerId, Event, FileHandle, Head, Listed, Listing, Notice, Now,
    Outcome, ReadError, SaveId,
};
pub use loss::{Bound, Loss, LossReason};
pub use pipeline::Pipeline;
pub use settings::Settings;
