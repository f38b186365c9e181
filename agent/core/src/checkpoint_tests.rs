#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// A file of format 1, written when that format was made. It is kept as it is for ever: every
/// release reads it.
const VERSION_1: &[u8] = include_bytes!("../tests/fixtures/checkpoint-v1");
/// As before generations had `witness`, `last`, `start_time`, `born` and `follows`.
const VERSION_1_PLAIN: &[u8] = include_bytes!("../tests/fixtures/checkpoint-v1-plain");

/// What [`VERSION_1`] says.
fn version_1() -> Checkpoint {
    let rotated = GenerationState {
        id: GenerationId(0x0123_4567_89ab_cdef & GenerationId::MASK),
        head_offset: 0,
        head_len: 121,
        head_hash: u64::MAX,
        head_complete: true,
        last: None,
        witness: None,
        start_time: String::new(),
        last_time: String::new(),
        twin: 0,
        committed: [10_485_812; 2],
        size: 10_485_812,
        closed: true,
        finished: true,
        sealed: false,
        evidence: Some((2_049, 131_074, 10_485_812, 1_795_455_511_764_048_983, false)),
        born: 1_795_455_500_000_000_000,
        follows: false,
    };
    let current = GenerationState {
        id: GenerationId(7),
        head_offset: 4_096,
        head_len: 16_459,
        head_hash: 0x8000_0000_0000_0001,
        head_complete: false,
        last: Some((16_460, 0x1234_5678_9abc_def0)),
        witness: Some((20_555, 118, 42)),
        start_time: "2026-11-23T17:29:31.764048983Z".to_owned(),
        last_time: String::new(),
        twin: 1,
        committed: [49_377, 98_754],
        size: 200_000,
        closed: false,
        finished: false,
        sealed: false,
        evidence: None,
        born: 0,
        follows: true,
    };
    let mark = GroupMark {
        generation: rotated.id,
        offset: 10_450_000,
        time: "2026-11-23T17:29:31.764048983Z".to_owned(),
        next_start: 50_000,
        index: 5,
        piece_start: 49_152,
    };
    let web = ContainerState {
        id: "5e".repeat(32),
        name: "web-\"ü\"".to_owned(),
        old: true,
        last_time: "2026-11-23T17:29:32.5Z".to_owned(),
        groups: [Some(mark), None],
        generations: vec![rotated, current],
    };
    let quiet = ContainerState {
        id: "ff".repeat(32),
        name: String::new(),
        old: false,
        last_time: String::new(),
        groups: [None, None],
        generations: Vec::new(),
    };
    Checkpoint {
        epoch: 0xfedc_ba98_7654_3210,
        first_start: "2026-11-20T00:00:00Z".to_owned(),
        start_cutoff: "2026-11-19T00:00:00Z".to_owned(),
        containers: vec![web, quiet],
    }
}

#[test]
fn t75_reads_and_writes_format_1_byte_for_byte() {
    assert_eq!(Checkpoint::decode(VERSION_1), Ok(version_1()));
    assert_eq!(
        version_1().encode().escape_ascii().to_string(),
        VERSION_1.escape_ascii().to_string()
    );
}

#[test]
fn t75_reads_format_1_without_what_was_added() {
    let mut plain = version_1();
    for generation in &mut plain.containers[0].generations {
        (generation.witness, generation.last) = (None, None);
        generation.start_time.clear();
        (generation.born, generation.follows) = (0, false);
    }
    assert_eq!(Checkpoint::decode(VERSION_1_PLAIN), Ok(plain));
}

#[test]
fn t51_refuses_every_truncation() {
    for len in 0..VERSION_1.len() {
        let error = Checkpoint::decode(&VERSION_1[..len]).unwrap_err();
        assert!(
            matches!(error, CheckpointError::Damaged(_)),
            "{len}: {error}"
        );
    }
}

#[test]
fn t52_refuses_every_wrong_byte() {
    for at in 0..VERSION_1.len() {
        for wrong in (0..=u8::MAX).filter(|&wrong| wrong != VERSION_1[at]) {
            let mut file = VERSION_1.to_vec();
            file[at] = wrong;
            assert!(Checkpoint::decode(&file).is_err(), "{wrong:#x} at {at}");
        }
    }
}

#[test]
fn refuses_bytes_too_many() {
    for extra in [&b"\n"[..], b" ", b"\0", VERSION_1] {
        for file in [[VERSION_1, extra].concat(), [extra, VERSION_1].concat()] {
            assert!(Checkpoint::decode(&file).is_err());
        }
    }
    let header = String::from_utf8_lossy(VERSION_1).replacen('\n', " more\n", 1);
    assert!(Checkpoint::decode(header.as_bytes()).is_err());
}

#[test]
fn refuses_a_run_of_lost_bytes() {
    for from in (0..VERSION_1.len()).step_by(7) {
        for len in [1, 16, 512] {
            let mut file = VERSION_1.to_vec();
            let to = file.len().min(from + len);
            file[from..to].fill(0);
            assert!(Checkpoint::decode(&file).is_err(), "{from}..{to}");
        }
    }
}

#[test]
fn t75_says_which_release_reads_another_version() {
    for version in [2, 10, u32::MAX] {
        let file = format!("platform-agent checkpoint {version} whatever comes then\n");
        let error = Checkpoint::decode(file.as_bytes()).unwrap_err();
        assert_eq!(error, CheckpointError::Version(version));
        let text = error.to_string();
        assert!(
            text.contains(&format!("version {version}")) && text.contains("reads 1"),
            "{text}"
        );
    }
}

#[test]
fn a_body_that_is_whole_but_says_nothing_is_damaged() {
    for body in ["", "{}", "[]", "null", "{\"epoch\":-1}"] {
        let crc = crc32fast::hash(body.as_bytes());
        let file = format!(
            "platform-agent checkpoint 1 {crc:08x} {}\n{body}",
            body.len()
        );
        let error = Checkpoint::decode(file.as_bytes()).unwrap_err();
        assert!(
            matches!(error, CheckpointError::Damaged(_)),
            "{body}: {error}"
        );
    }
}

fn mark() -> impl Strategy<Value = GroupMark> {
    (
        any::<u64>(),
        any::<u64>(),
        any::<String>(),
        any::<u64>(),
        any::<u32>(),
        any::<u64>(),
    )
        .prop_map(
            |(generation, offset, time, next_start, index, piece_start)| GroupMark {
                generation: GenerationId(generation),
                offset,
                time,
                next_start,
                index,
                piece_start,
            },
        )
}

fn generation() -> impl Strategy<Value = GenerationState> {
    let head = (any::<u64>(), any::<u32>(), any::<u64>(), any::<bool>());
    let rest = (
        any::<[u64; 2]>(),
        any::<u64>(),
        any::<bool>(),
        any::<bool>(),
    );
    let evidence = any::<Option<(u64, u64, u64, u64, bool)>>();
    (any::<u64>(), head, any::<u32>(), rest, evidence).prop_map(
        |(id, head, twin, rest, evidence)| GenerationState {
            id: GenerationId(id),
            head_offset: head.0,
            head_len: head.1,
            head_hash: head.2,
            head_complete: head.3,
            last: None,
            witness: None,
            start_time: String::new(),
            last_time: String::new(),
            twin,
            committed: rest.0,
            size: rest.1,
            closed: rest.2,
            finished: rest.3,
            sealed: rest.2,
            evidence,
            born: 0,
            follows: false,
        },
    )
}

fn container() -> impl Strategy<Value = ContainerState> {
    let groups = [proptest::option::of(mark()), proptest::option::of(mark())];
    let generations = proptest::collection::vec(generation(), 0..4);
    (
        any::<String>(),
        any::<String>(),
        any::<bool>(),
        any::<String>(),
        groups,
        generations,
    )
        .prop_map(
            |(id, name, old, last_time, groups, generations)| ContainerState {
                id,
                name,
                old,
                last_time,
                groups,
                generations,
            },
        )
}

prop_compose! {
    fn checkpoint()(
        epoch in any::<u64>(),
        first_start in any::<String>(),
        start_cutoff in any::<String>(),
        containers in proptest::collection::vec(container(), 0..4),
    ) -> Checkpoint {
        Checkpoint { epoch, first_start, start_cutoff, containers }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(checkpoint in checkpoint()) {
        prop_assert_eq!(Checkpoint::decode(&checkpoint.encode()), Ok(checkpoint));
    }

    #[test]
    fn any_damage_is_refused(
        checkpoint in checkpoint(), at in any::<proptest::sample::Index>(), wrong in 1..=u8::MAX,
        cut in any::<proptest::sample::Index>(),
    ) {
        let file = checkpoint.encode();
        let mut damaged = file.clone();
        damaged[at.index(file.len())] ^= wrong;
        prop_assert!(Checkpoint::decode(&damaged).is_err());
        prop_assert!(Checkpoint::decode(&file[..cut.index(file.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_refused(file in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Checkpoint::decode(&file).is_err());
        let file = [b"platform-agent checkpoint 1 ", &file[..]].concat();
        prop_assert!(Checkpoint::decode(&file).is_err());
    }
}
