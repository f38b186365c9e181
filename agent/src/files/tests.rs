#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;

use agent_core::file_id::head_hash;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const ID: ContainerId = ContainerId([0xab; 32]);
const LOG: &str = "c-json.log";

struct Scene {
    _root: tempfile::TempDir,
    folder: PathBuf,
    files: Files,
}

impl Scene {
    fn new() -> Self {
        Self::with_open_max(64)
    }

    fn with_open_max(open_max: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path(), open_max);
        let folder = files.folder(ID);
        fs::create_dir(&folder).unwrap();
        Self {
            _root: root,
            folder,
            files,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn list(&mut self) -> Vec<Listed> {
        let seen = listing::look(&self.folder, LOG).unwrap().files;
        self.files.enroll(ID, &seen).unwrap()
    }

    fn current(&mut self) -> FileHandle {
        self.list()[0].handle
    }

    fn read(&mut self, handle: FileHandle, offset: u64) -> Result<Vec<u8>, ReadError> {
        self.files
            .read(handle, offset, 1 << 18, None)
            .map(|chunk| chunk.bytes.to_vec())
    }
}

fn head(line: &[u8]) -> Option<Head> {
    Some(Head {
        len: line.len() as u32,
        hash: head_hash(line),
        offset: 0,
    })
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Lines that do not compress to nothing.
fn lines(count: usize) -> Vec<u8> {
    let line = |n: usize| format!("{:016x} line {n}\n", head_hash(&n.to_le_bytes()));
    (0..count).map(line).collect::<String>().into_bytes()
}

#[test]
fn a_handle_follows_the_inode_through_a_rename() {
    let mut scene = Scene::new();
    scene.write(LOG, b"old\n");
    let old = scene.current();
    fs::rename(scene.path(LOG), scene.path("c-json.log.1")).unwrap();
    scene.write(LOG, b"new\n");
    let listed = scene.list();
    assert_eq!(
        listed.iter().map(|file| file.position).collect::<Vec<_>>(),
        [0, 1]
    );
    assert_ne!(listed[0].handle, old);
    assert_eq!(listed[1].handle, old);
    assert!(listed.iter().all(|file| file.held));
    assert_eq!(scene.read(old, 0).unwrap(), b"old\n");
}

#[test]
fn t04_t23_what_is_unlinked_after_it_was_listed_is_still_read() {
    let mut scene = Scene::new();
    scene.write(LOG, b"first\n");
    let handle = scene.current();
    fs::remove_dir_all(&scene.folder).unwrap();
    let chunk = scene.files.read(handle, 0, 100, head(b"first\n")).unwrap();
    assert_eq!(chunk.bytes, b"first\n");
    assert!(chunk.end && chunk.unlinked);
}

#[test]
fn a_closed_file_is_opened_again_by_name_wherever_it_is() {
    let mut scene = Scene::new();
    scene.write(LOG, b"line\n");
    let handle = scene.current();
    scene.files.close(handle);
    assert_eq!(scene.files.open_count(), 0);
    fs::rename(scene.path(LOG), scene.path("c-json.log.7")).unwrap();
    assert_eq!(scene.read(handle, 0).unwrap(), b"line\n");
    scene.files.close(handle);
    fs::remove_file(scene.path("c-json.log.7")).unwrap();
    assert_eq!(scene.read(handle, 0), Err(ReadError::Gone));
}

#[test]
fn a_quiet_end_is_an_empty_chunk() {
    let mut scene = Scene::new();
    scene.write(LOG, b"line\n");
    let handle = scene.current();
    for _ in 0..2 {
        let chunk = scene.files.read(handle, 5, 100, head(b"line\n")).unwrap();
        assert_eq!((chunk.offset, chunk.bytes, chunk.end), (5, &b""[..], true));
    }
}

#[test]
fn t06_t12_other_bytes_under_the_same_inode_are_replaced() {
    let mut scene = Scene::new();
    scene.write(LOG, b"line one\nline two\n");
    let handle = scene.current();
    let first = head(b"line one\n");
    let read = |scene: &mut Scene, offset| {
        scene
            .files
            .read(handle, offset, 100, first)
            .map(|chunk| chunk.bytes.to_vec())
    };
    assert_eq!(read(&mut scene, 9).unwrap(), b"line two\n");
    assert_eq!(read(&mut scene, 18).unwrap(), b"");
    // Truncated in place, then as long as before, then longer.
    scene.write(LOG, b"x\n");
    assert_eq!(read(&mut scene, 18), Err(ReadError::Replaced));
    scene.write(LOG, b"line ONE\nline TWO\n");
    assert_eq!(read(&mut scene, 0), Err(ReadError::Replaced));
    assert_eq!(read(&mut scene, 18), Err(ReadError::Replaced));
    scene.write(LOG, b"line ONE\nline TWO\nline three\n");
    assert_eq!(read(&mut scene, 18), Err(ReadError::Replaced));
}

#[test]
fn t11_a_sparse_hole_is_skipped_in_one_step() {
    let mut scene = Scene::new();
    let hole: u64 = 10 << 30;
    scene.write(LOG, b"");
    let file = File::options().write(true).open(scene.path(LOG)).unwrap();
    file.write_all_at(b"behind\n", hole).unwrap();
    let handle = scene.current();
    let chunk = scene.files.read(handle, 0, 1 << 18, None).unwrap();
    assert_eq!(chunk.offset, chunk.hole_bytes);
    assert!(chunk.hole_bytes > hole - (1 << 18), "{}", chunk.hole_bytes);
    let rest = chunk.bytes.iter().position(|byte| *byte != 0).unwrap();
    assert_eq!(&chunk.bytes[rest..], b"behind\n");
    file.set_len(hole * 2).unwrap();
    let chunk = scene
        .files
        .read(handle, hole + (1 << 18), 1 << 18, None)
        .unwrap();
    assert_eq!(
        (chunk.offset, chunk.bytes, chunk.end),
        (hole * 2, &b""[..], true)
    );
}

#[test]
fn compressed_files_are_read_forward_and_back() {
    let mut scene = Scene::new();
    let text = lines(40_000);
    scene.write("c-json.log.1.gz", &gzipped(&text));
    let handle = scene.current();
    let mut read = Vec::new();
    loop {
        let chunk = scene
            .files
            .read(handle, read.len() as u64, 1 << 18, None)
            .unwrap();
        read.extend_from_slice(chunk.bytes);
        if chunk.end {
            break;
        }
    }
    assert_eq!(read, text);
    assert_eq!(scene.read(handle, 100).unwrap(), text[100..100 + (1 << 18)]);
    let first = text.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    assert!(scene.files.read(handle, 500, 10, head(first)).is_ok());
    assert_eq!(
        scene.files.read(handle, 500, 10, head(b"other\n")).err(),
        Some(ReadError::Replaced)
    );
    assert_eq!(
        scene.read(handle, text.len() as u64 + 1),
        Err(ReadError::Replaced)
    );
}

#[test]
fn t14_a_torn_compressed_file_gives_what_stands_before_the_damage() {
    let mut scene = Scene::new();
    let text = lines(5_000);
    let whole = gzipped(&text);
    scene.write("c-json.log.1.gz", &whole[..whole.len() - 1000]);
    let handle = scene.current();
    let read = scene.read(handle, 0).unwrap();
    assert!(read.len() > text.len() / 2 && text.starts_with(&read));
    for _ in 0..2 {
        assert_eq!(scene.read(handle, read.len() as u64), Err(ReadError::Torn));
    }
    assert_eq!(scene.read(handle, 10).unwrap(), read[10..]);
}

#[test]
fn t31_descriptors_are_bounded_and_those_without_a_name_go_last() {
    let mut scene = Scene::with_open_max(3);
    scene.write(LOG, b"0\n");
    let doomed = scene.current();
    fs::remove_file(scene.path(LOG)).unwrap();
    for n in 1..=6 {
        scene.write(&format!("c-json.log.{n}"), format!("{n}\n").as_bytes());
    }
    let listed = scene.list();
    assert_eq!(scene.files.open_count(), 3);
    for file in listed {
        let bytes = scene.read(file.handle, 0).unwrap();
        assert_eq!(bytes, format!("{}\n", file.position).into_bytes());
        assert_eq!(scene.files.open_count(), 3);
    }
    assert_eq!(scene.read(doomed, 0).unwrap(), b"0\n");
}

#[test]
fn t25_deleted_files_are_let_go_of_beyond_their_bound() {
    let mut scene = Scene::new();
    for n in 0..3 {
        scene.write(&format!("c-json.log.{}", n + 1), &[b'x'; 100_000]);
    }
    let listed = scene.list();
    fs::remove_dir_all(&scene.folder).unwrap();
    let all = scene.files.bound_held(u64::MAX, 0);
    assert!(all.kept_bytes >= 300_000 && all.freed_bytes == 0);
    let fewer = scene.files.bound_held(all.kept_bytes - 1, 0);
    assert_eq!(fewer.kept_bytes + fewer.freed_bytes, all.kept_bytes);
    assert!(fewer.freed_bytes > 0);
    assert_eq!(scene.files.open_count(), 2);
    assert_eq!(scene.read(listed[0].handle, 0), Err(ReadError::Gone));
    // A disk that lacks a byte is given a file; one that lacks all is given the rest.
    let short = scene.files.bound_held(u64::MAX, 1);
    assert!(short.freed_bytes > 0 && short.kept_bytes > 0);
    assert_eq!(scene.files.bound_held(u64::MAX, u64::MAX).kept_bytes, 0);
    assert_eq!(scene.files.open_count(), 0);
}

#[test]
fn an_inode_that_changed_after_it_was_closed_gets_a_new_handle() {
    let mut scene = Scene::new();
    scene.write(LOG, b"one\n");
    let old = scene.current();
    scene.files.close(old);
    assert_eq!(scene.current(), old);
    scene.write(LOG, b"another\n");
    let listed = scene.list()[0];
    assert_ne!(listed.handle, old);
    assert!(listed.held);
    assert_eq!(scene.read(old, 0), Err(ReadError::Gone));
}

#[test]
fn a_look_that_is_out_of_date_is_stale() {
    let mut scene = Scene::new();
    scene.write(LOG, b"one\n");
    let seen = listing::look(&scene.folder, LOG).unwrap().files;
    fs::remove_file(scene.path(LOG)).unwrap();
    assert_eq!(scene.files.enroll(ID, &seen), Err(Stale));
}
