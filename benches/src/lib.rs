//! Benchmarks: how much CPU and memory the real `platform-agent` takes for its work, next to a
//! reference program that does no more than must be done, and next to other log shippers.
//!
//! `docs/performance.md` says what is measured and how to read it.

pub mod agent;
pub mod bucket;
pub mod corpus;
pub mod experiment;
pub mod figure;
pub mod gate;
pub mod ledger;
pub mod machine;
pub mod peer;
pub mod plot;
pub mod process;
pub mod reference;
pub mod report;
pub mod shape;
pub mod sink;
pub mod tls;
pub mod wire;
