//! What the core must survive, whatever it is fed. Each target takes bytes, never panics on any,
//! and compares with serde_json where that is an oracle. scripts/fuzz searches for bytes on which
//! one does panic, guided by coverage; tests/corpus.rs runs those that were found on every test
//! run.

// What a target expects and does not see is the panic that the search is for.
#![allow(clippy::missing_panics_doc)]

#[path = "../../core/tests/fixtures/arrival.rs"]
mod arrival;
mod chain;
mod checkpoint;
mod docker_line;
mod escape;
mod events;
mod input;
mod joiner;
mod ledger;
mod line_splitter;
mod quarantine;
#[path = "../../src/quarantine/record.rs"]
mod record;
#[path = "../../src/spool/segment.rs"]
mod segment;
#[path = "../../core/tests/fixtures/shell.rs"]
mod shell;
mod spool;

/// Runs one input.
pub type Target = fn(&[u8]);

/// All targets, by name: also the names of their folders of inputs.
pub const TARGETS: [(&str, Target); 10] = [
    ("chain", chain::run),
    ("checkpoint", checkpoint::run),
    ("docker_line", docker_line::run),
    ("escape", escape::run),
    ("events", events::run),
    ("joiner", joiner::run),
    ("ledger", ledger::run),
    ("line_splitter", line_splitter::run),
    ("quarantine", quarantine::run),
    ("spool", spool::run),
];
