//! Listings, one after the other, that need not be true: each file is one generation, generations
//! keep their order and have names of their own.

use std::collections::BTreeSet;
use std::time::Duration;

use agent_core::chain::{Chain, View};
use agent_core::file_id::{self, Fingerprint, Start};
use agent_core::identity::Candidate;
use agent_core::{ContainerId, FileHandle, Listed, SaveId};

use crate::input::Input;

/// Files there are.
const HANDLES: usize = 16;

/// First lines to choose from: whole ones, pieces, and a witness behind a piece.
fn fingerprint(choice: usize) -> Fingerprint {
    let time = ",\"stream\":\"stdout\",\"time\":\"2026-11-23T17:29:31Z\"}\n";
    let whole = |n: usize| format!("{{\"log\":\"{n}\\n\"{time}");
    let piece = |n: usize| format!("{{\"log\":\"{n}\"{time}");
    let bytes = match choice {
        0..6 => whole(choice),
        6..8 => piece(choice),
        8..10 => piece(6) + &whole(choice),
        10 => piece(6) + &piece(6),
        _ => "no record\n".to_owned(),
    };
    match file_id::look(bytes.as_bytes(), 0, true) {
        Start::Line(fingerprint) => fingerprint,
        other => panic!("{other:?} of {bytes}"),
    }
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut chain = Chain::new(ContainerId([3; 32]), 77);
    let mut next_save = 1;
    let mut sizes = [0; HANDLES];
    while !input.is_empty() {
        let files = listing(&mut input, &mut sizes);
        let flags = input.byte();
        let first = known(&chain, &files);
        let view = View {
            files: &first,
            newer: flags & 1 == 1,
            partial: flags & 2 == 2,
            unstable: flags & 4 == 4,
            time: "2026-11-23T17:29:31Z",
        };
        let before = keys(&chain);
        let change = chain.reconcile(&view, SaveId(next_save));
        next_save += 1;
        let listed = (!view.unstable).then_some(&files[..]);
        check(&chain, &before, &change.found, listed);
        // Looked at again: unless its order contradicts what is known, nothing is new.
        let files = known(&chain, &files);
        let places: Option<Vec<usize>> = files.iter().map(|file| place(&chain, file)).collect();
        if places.is_some_and(|places| places.is_sorted_by(|left, right| left < right)) {
            let files = &files;
            let change = chain.reconcile(&View { files, ..view }, SaveId(next_save));
            assert_eq!(change.found, Vec::<u64>::new());
        }
        act(&mut chain, &mut input, flags);
    }
}

/// Reads, commits, closes and forgets something.
fn act(chain: &mut Chain, input: &mut Input<'_>, flags: u8) {
    let keys = keys(chain);
    if keys.is_empty() {
        return;
    }
    let key = keys[input.below(keys.len().min(256))];
    let Some(generation) = chain.get_mut(key) else {
        return;
    };
    if flags & 8 == 8 {
        generation.read = generation
            .size
            .min(generation.read + u64::from(input.byte()));
        generation.last = Some((1, 2)).filter(|_| generation.read > 0);
    }
    if flags & 16 == 16 {
        generation.committed = [generation.read; 2];
    }
    if flags & 32 == 32 {
        generation.finished = generation.closed;
    }
    if flags & 64 == 64
        && let Some(handle) = generation.handle
    {
        generation.forsake(handle);
    }
    if flags & 128 == 128 {
        chain.prune();
        assert!(!chain.generations().is_empty(), "the newest stays");
    }
}

fn listing(input: &mut Input<'_>, sizes: &mut [u64; HANDLES]) -> Vec<Candidate> {
    let count = input.below(6);
    let mut files: Vec<Candidate> = Vec::new();
    for n in 0..count {
        // A handle that is held is one file: it has one first line, and does not shrink.
        let (file, how) = (input.below(HANDLES), input.byte());
        let handle = FileHandle(file as u64);
        if files.iter().any(|file| file.listed.handle == handle) {
            continue;
        }
        sizes[file] += u64::from(how & 8) * 10;
        let listed = Listed {
            handle,
            position: (count - n - 1) as u32 + u32::from(how & 3 == 3),
            compressed: how & 4 == 4,
            device: 1,
            inode: file as u64 % 8,
            size: sizes[file],
            modified: Duration::from_secs(u64::from(how >> 6)),
            born: Duration::from_secs(file as u64 / 4),
            held: how & 16 == 0,
        };
        let fingerprint = fingerprint(file % 12);
        files.push(Candidate {
            listed,
            fingerprint,
            sure_size: listed.size,
            known: None,
        });
    }
    files
}

fn known(chain: &Chain, files: &[Candidate]) -> Vec<Candidate> {
    let known = |file: &Candidate| Candidate {
        known: chain.known(&file.listed),
        ..*file
    };
    files.iter().map(known).collect()
}

/// Where in the chain a file stands that is known.
fn place(chain: &Chain, file: &Candidate) -> Option<usize> {
    let known = file.known?;
    chain.generations().iter().position(|g| g.key == known)
}

fn keys(chain: &Chain) -> Vec<u64> {
    chain.generations().iter().map(|g| g.key).collect()
}

/// `files` are those of a folder that stood still.
fn check(chain: &Chain, before: &[u64], found: &[u64], files: Option<&[Candidate]>) {
    let generations = chain.generations();
    let unique: BTreeSet<u64> = generations.iter().map(|g| g.key).collect();
    assert_eq!(unique.len(), generations.len(), "a key twice");
    let names: BTreeSet<_> = generations.iter().map(|g| g.id).collect();
    assert_eq!(names.len(), generations.len(), "a name twice");
    let old: BTreeSet<u64> = keys(chain)
        .into_iter()
        .filter(|key| !found.contains(key))
        .collect();
    let before: BTreeSet<u64> = before.iter().copied().collect();
    assert_eq!(old, before, "what was known stays");
    let listed: Vec<_> = generations.iter().filter_map(|g| g.listed).collect();
    if let Some(files) = files {
        let looked: Vec<_> = files.iter().map(|file| file.listed).collect();
        assert_eq!(
            listed, looked,
            "each file is one generation, in the order of the files"
        );
    }
}
