//! A container that was created, written to and removed faster than its log was first read: its
//! file is held, so all of it must be sent.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use agent_core::{
    Action, Container, ContainerId, Event, FileHandle, Listed, Listing, Now, Pipeline, Settings,
};

const ID: ContainerId = ContainerId([7; 32]);
const HANDLE: FileHandle = FileHandle(1);

fn now(millis: u64) -> Now {
    Now {
        mono: Duration::from_millis(millis),
        wall: Duration::from_secs(1_764_000_000) + Duration::from_millis(millis),
    }
}

fn settings() -> Settings {
    Settings {
        source: "host".into(),
        type_prefix: "t".into(),
        nanoseconds: false,
        part_marks: false,
        gap_markers: true,
        batch_bytes_max: 4 << 20,
        batch_age_max: Duration::from_secs(1),
        in_flight_max: 4,
        memory_bytes_max: 20 << 20,
        start_cutoff: String::new(),
        retention: Duration::ZERO,
        poll_interval: Duration::from_millis(200),
        poll_interval_max: Duration::from_secs(1),
        join_age_max: Duration::from_secs(5),
        save_interval: Duration::from_secs(1),
        bytes_per_second_max: 0,
        spool: false,
        seed: 1,
    }
}

fn container(removed: bool) -> Container {
    Container {
        id: ID,
        name: if removed { "070707070707" } else { "brief" }.into(),
        created: if removed { "" } else { "2026-01-01T00:00:00Z" }.into(),
        removed,
        files_max: 0,
    }
}

fn log() -> Vec<u8> {
    (0..5)
        .map(|n| {
            format!(
                "{{\"log\":\"brief {n}\\n\",\"stream\":\"stdout\",\
                 \"time\":\"2026-11-25T13:55:37.27000000{n}Z\"}}\n"
            )
        })
        .collect::<String>()
        .into_bytes()
}

/// How many entries are sent when the folder goes after so many answered reads.
fn entries_sent(reads_before_removal: usize) -> u32 {
    let mut core = Pipeline::new(settings(), 1, now(0).wall);
    let log = log();
    let listed = Listed {
        handle: HANDLE,
        position: 0,
        compressed: false,
        device: 1,
        inode: 2,
        size: log.len() as u64,
        modified: now(0).wall,
        born: now(0).wall,
        held: true,
    };
    let listing = |files: Vec<Listed>, removed: bool| {
        Event::Listing(Listing {
            container: container(removed),
            files,
            unstable: false,
        })
    };
    core.handle(now(1), listing(vec![listed], false));
    let (mut reads, mut removed, mut sent) = (0, false, 0);
    for millis in 2..4_000 {
        if reads == reads_before_removal && !removed {
            removed = true;
            core.handle(now(millis), listing(Vec::new(), true));
        }
        while let Some(action) = core.poll_action(now(millis)) {
            match action {
                Action::Read { handle, offset, .. } => {
                    assert_eq!(handle, HANDLE);
                    reads += 1;
                    let bytes = &log[(offset as usize).min(log.len())..];
                    core.handle(
                        now(millis),
                        Event::Chunk {
                            handle,
                            offset,
                            bytes,
                            hole_bytes: 0,
                            end: true,
                            held: true,
                            modified: now(0).wall,
                        },
                    );
                    break;
                }
                Action::Send { batch, entries, .. } => {
                    sent += entries;
                    let outcome = agent_core::Outcome::Accepted;
                    core.handle(now(millis), Event::Sent { batch, outcome });
                }
                Action::Save { id, .. } => core.handle(now(millis), Event::Saved(id)),
                _ => {}
            }
        }
    }
    sent
}

#[test]
fn t24_a_log_that_is_held_is_sent_whenever_its_folder_goes() {
    for reads in 0..4 {
        assert_eq!(entries_sent(reads), 5, "removed after {reads} reads");
    }
}
