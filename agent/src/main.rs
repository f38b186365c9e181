mod config;
mod memory;
fn main() {}
