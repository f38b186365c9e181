//! The deterministic pipeline of platform-agent: it decides, the shell around it acts.
//!
//! No I/O, no clock, no threads, no randomness but its seed: the same events at the same times
//! give the same actions. Bytes come in as [`Event::Chunk`], request bodies go out as
//! [`Action::Send`], and the checkpoint ([`Action::Save`]) only ever covers what was accepted.

pub mod event;
pub mod limits;
pub mod pipeline;
pub mod settings;
pub mod stats;

pub use event::{
    Action, BatchId, Container, ContainerId, Event, FileHandle, Head, Listed, Listing, LossReason,
    Notice, Now, Outcome, ReadError, SaveId,
};
pub use pipeline::Pipeline;
pub use settings::Settings;
