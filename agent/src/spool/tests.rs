#![allow(clippy::unwrap_used)]
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::*;

/// A pipeline's batch, and the file that it goes to in an empty spool.
const BATCH: (usize, BatchId) = (0, BatchId(7));
const FILE: u64 = 1;

fn bodies() -> Vec<Body> {
    vec![Body {
        bytes: Arc::new(br#"{"logEntryBatches":[]}"#.to_vec()),
        entries: 3,
    }]
}

fn open(state: &Path, bytes_max: u64) -> Spool {
    Spool::open(state, bytes_max, "0".parse().unwrap()).unwrap()
}

fn text(found: Unspooled) -> Option<Vec<u8>> {
    match found {
        Unspooled::Found(bodies) => Some(bodies[0].bytes.to_vec()),
        _ => None,
    }
}

#[test]
fn t58_what_is_kept_is_found_by_the_next_agent_and_gone_when_it_is_sent() {
    let state = tempfile::tempdir().unwrap();
    let mut spool = open(state.path(), 1 << 20);
    spool
        .keep(BATCH, &[ContainerId([1; 32])], Vec::new(), &bodies())
        .unwrap();
    let mode = fs::metadata(spool.path(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut spool = open(state.path(), 1 << 20);
    spool.assign(0, &spool.found());
    let bytes = bodies()[0].bytes.len();
    let found = Spooled {
        batch: BatchId(FILE),
        containers: vec![ContainerId([1; 32])],
        entries: 3,
        bytes,
        covered: Vec::new(),
    };
    assert_eq!(spool.found(), [found]);
    let found = (0, BatchId(FILE));
    assert_eq!(text(spool.find(found)), Some(bodies()[0].bytes.to_vec()));
    spool.forget(found);
    assert_eq!(spool.usage().segments, 0);
    assert!(open(state.path(), 1 << 20).found().is_empty());
}

#[test]
fn t58_it_has_a_bound_and_respects_the_floor_of_free_disk() {
    let state = tempfile::tempdir().unwrap();
    let mut spool = open(state.path(), 10);
    let error = spool.keep(BATCH, &[], Vec::new(), &bodies()).unwrap_err();
    assert!(error.to_string().contains("spool.max_bytes"), "{error}");
    let mut spool = Spool::open(state.path(), 1 << 20, "100%".parse().unwrap()).unwrap();
    let error = spool.keep(BATCH, &[], Vec::new(), &bodies()).unwrap_err();
    assert!(error.to_string().contains("limits.min_free"), "{error}");
    assert!(open(state.path(), 1 << 20).found().is_empty());
}

#[test]
fn t58_any_prefix_of_writing_leaves_a_whole_segment_or_none() {
    let state = tempfile::tempdir().unwrap();
    let mut spool = open(state.path(), 1 << 20);
    let file = segment::encode(&[], Vec::new(), &bodies());
    let name = name_of(FILE);
    let steps = keeping(&name);
    for taken in 0..=steps.len() {
        // Power is cut behind each step; a file that was not synced is empty or torn.
        perform(&steps[..taken], &spool.folder, &file).unwrap();
        let synced = taken > 2;
        if taken == 2 {
            for len in 0..file.len() {
                fs::write(spool.folder.join(NEW), &file[..len]).unwrap();
                assert!(open(state.path(), 1 << 20).found().is_empty());
            }
        }
        let mut after = open(state.path(), 1 << 20);
        after.assign(0, &after.found());
        let found = (0, BatchId(FILE));
        match after.found().len() {
            0 => assert!(taken < 4),
            _ => assert!(synced && text(after.find(found)).is_some()),
        }
        after.forget(found);
    }
    spool.keep(BATCH, &[], Vec::new(), &bodies()).unwrap();
    assert!(text(spool.find(BATCH)).is_some());
}

#[test]
fn t58_a_damaged_segment_is_set_aside_and_one_of_another_release_is_left() {
    let state = tempfile::tempdir().unwrap();
    let mut spool = open(state.path(), 1 << 20);
    spool.keep(BATCH, &[], Vec::new(), &bodies()).unwrap();
    let whole = fs::read(spool.path(FILE)).unwrap();
    let newer = String::from_utf8_lossy(&whole).replace("spool 2", "spool 3");
    fs::write(spool.path(FILE), newer).unwrap();
    assert!(matches!(spool.find(BATCH), Unspooled::Unreadable));
    fs::write(spool.path(FILE), &whole[..whole.len() - 1]).unwrap();
    let mut spool = open(state.path(), 1 << 20);
    assert_eq!(spool.found().len(), 1);
    spool.assign(3, &spool.found());
    let found = (3, BatchId(FILE));
    assert!(matches!(spool.find(found), Unspooled::Damaged(_)));
    // Until its loss is in the ledger the next start would find it again.
    assert_eq!(open(state.path(), 1 << 20).found().len(), 1);
    spool.forget(found);
    assert!(spool.path(FILE).with_extension("damaged").exists());
    assert!(matches!(spool.find(found), Unspooled::Damaged(_)));
    assert_eq!(spool.usage().segments, 0);
}
