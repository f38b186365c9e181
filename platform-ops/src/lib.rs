//! platform-ops: runs a PostgreSQL, Redis and PgBouncer platform on one host.
//!
//! A command (`command/`) looks at the world, makes a [`plan`], and carries it out under the
//! [`lock`], noting every step in the [`audit`] log. The library exists for the tests.

pub mod adoption;
pub mod application;
pub mod audit;
pub mod backup;
pub mod cli;
pub mod command;
pub mod compose;
pub mod container;
pub mod crontab;
pub mod database;
pub mod disk;
pub mod doctor;
pub mod dotenv;
pub mod engine;
pub mod environment;
pub mod exit;
pub mod failure;
pub mod file;
pub mod guard;
pub mod host_file;
pub mod hygiene;
pub mod image;
pub mod interrupt;
pub mod lock;
pub mod output;
pub mod plan;
pub mod pooler;
pub mod postgres;
pub mod redact;
pub mod redis;
pub mod root;
pub mod rotation;
pub mod scratch;
pub mod secret;
pub mod service;
pub mod session;
pub mod settings;
pub mod side_name;
pub mod sql;
pub mod stack;
pub mod status;
