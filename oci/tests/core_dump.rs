//! In a program of its own: what is switched off stays so.
#![allow(clippy::unwrap_used)]

#[test]
fn no_core_dump_is_left() {
    let limit = || {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let mut words = line.unwrap().split_whitespace().skip(4);
        (
            words.next().unwrap().to_owned(),
            words.next().unwrap().to_owned(),
        )
    };
    oci::forbid_core_dumps().unwrap();
    assert_eq!(limit(), ("0".to_owned(), "0".to_owned()));
    let dumpable = rustix::process::dumpable_behavior().unwrap();
    assert_eq!(dumpable, rustix::process::DumpableBehavior::NotDumpable);
}
