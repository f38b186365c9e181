//! Core dumps: a file that holds every key in memory.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Makes sure that this process leaves no core dump, in a file or with a handler
/// (`kernel.core_pattern = |…`), and that no process of the same user reads its memory.
///
/// # Errors
/// When the kernel refuses, which it never does for less than there was.
pub fn forbid_core_dumps() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    // A handler is fed whatever the limit says: core(5). This alone keeps it away.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
