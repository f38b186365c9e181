mod config;
mod container;
mod files;
mod listing;
mod memory;
fn main() {}
