mod config;
mod container;
mod discover;
mod files;
mod host;
mod listing;
mod memory;
mod store;
mod watch;
fn main() {}
