//! The ledger: what is kept, what is folded, what is one loss told twice.

#![allow(clippy::unwrap_used)]

use super::*;

fn record(container: u32, from: u64, to: Option<u64>) -> Record {
    Record {
        container: format!("{container:064x}"),
        name: format!("c{container}"),
        generation: "0000000000a1".to_owned(),
        from,
        to,
        bound: "exact".to_owned(),
        reason: "rotated_away".to_owned(),
        told_at: format!("2026-11-25T14:{:02}:00Z", container % 60),
        last_time: "2026-11-25T14:00:00.5Z".to_owned(),
        first_lost_time: String::new(),
        next_time: "line \"with\"\nquotes".to_owned(),
    }
}

fn ledger(records: impl IntoIterator<Item = Record>) -> Ledger {
    let mut ledger = Ledger::default();
    records.into_iter().for_each(|record| ledger.add(record));
    ledger
}

/// The format, byte for byte: it is read for ever.
#[test]
fn a_line_is_json_with_its_checksum_at_the_end() {
    let bytes = ledger([record(1, 5, Some(9))]).encode();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert_eq!(
        text,
        "{\"v\":1,\"kind\":\"loss\",\"container\":\"0000000000000000000000000000000000000000000000000000000000000001\",\
         \"name\":\"c1\",\"generation\":\"0000000000a1\",\"from\":5,\"to\":9,\"bound\":\"exact\",\
         \"reason\":\"rotated_away\",\"told_at\":\"2026-11-25T14:01:00Z\",\
         \"last_time\":\"2026-11-25T14:00:00.5Z\",\"next_time\":\"line \\\"with\\\"\\nquotes\",\"crc\":\"XXXX\"}\n"
            .replace("XXXX", &text[text.len() - 11..text.len() - 3])
    );
    let value: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(value["crc"].as_str().unwrap().len(), 8);
}

#[test]
fn t51_any_prefix_is_read_as_far_as_it_is_whole() {
    let whole = ledger((1..5).map(|n| record(n, 0, Some(n.into()))));
    let bytes = whole.encode();
    let ends: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b'\n').collect();
    for len in 0..=bytes.len() {
        let (read, damaged) = Ledger::decode(&bytes[..len]).unwrap();
        // A line that lacks only its newline is whole.
        let lines = ends.iter().filter(|&&end| end <= len).count();
        assert_eq!(read.records(), &whole.records()[..lines], "{len}");
        let torn = len > 0 && !ends.contains(&len) && !ends.contains(&(len - 1));
        assert_eq!(damaged, usize::from(torn), "{len}");
    }
}

#[test]
fn a_damaged_line_does_not_take_the_others_with_it() {
    let whole = ledger((1..4).map(|n| record(n, 0, Some(1))));
    let bytes = whole.encode();
    let second = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for at in second..second + 100 {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let (read, damaged) = Ledger::decode(&bytes).unwrap();
        assert_eq!((read.records().len(), damaged), (2, 1), "{at}");
    }
}

#[test]
fn another_version_is_refused() {
    let text = String::from_utf8(ledger([record(1, 0, None)]).encode()).unwrap();
    let body = text.trim().replace("\"v\":1", "\"v\":2");
    let body = &body[..body.len() - CRC_LEN];
    let line = format!("{body}{CRC}{:08x}\"}}\n", crc32fast::hash(body.as_bytes()));
    assert_eq!(Ledger::decode(line.as_bytes()), Err(OtherVersion(2)));
}

#[test]
fn a_loss_told_twice_is_one() {
    let at_most = |record: Record| Record {
        bound: "at_most".to_owned(),
        ..record
    };
    // The same; found again after a kill, from an older checkpoint; of unknown length.
    let twice = ledger([record(1, 500, Some(900)), record(1, 500, Some(900))]);
    assert_eq!(twice, ledger([record(1, 500, Some(900))]));
    let lower = ledger([
        record(1, 500, Some(900)),
        at_most(record(1, 300, Some(900))),
    ]);
    assert_eq!(lower.records(), [at_most(record(1, 300, Some(900)))]);
    let open = ledger([record(1, 500, None), record(1, 500, None)]);
    assert_eq!((open.records().len(), open.records()[0].to), (1, None));
    let sure = ledger([
        at_most(record(1, 500, Some(900))),
        record(1, 500, Some(900)),
    ]);
    assert_eq!(sure.records()[0].bound, "exact");
    // Others are others.
    let dropped = Record {
        reason: DROPPED.to_owned(),
        ..record(1, 500, Some(900))
    };
    let apart = [
        record(1, 0, Some(9)),
        record(1, 10, Some(19)),
        record(2, 0, Some(9)),
        dropped,
    ];
    assert_eq!(ledger(apart.clone()).records(), apart);
    // Chunks of expired lines grow together.
    let chunks = ledger((0..100).map(|n| record(1, n * 10, Some(n * 10 + 10))));
    assert_eq!(chunks.records(), [record(1, 0, Some(1_000))]);
}

#[test]
fn counts_outlive_their_records_and_the_size_is_bounded() {
    let mut all = Ledger::default();
    let (containers, each) = (2_000, 3);
    for n in 0..containers {
        for loss in 0..each {
            all.add(record(n, loss * 100, Some(loss * 100 + 10)));
        }
    }
    assert_eq!(all.records().len(), RECORDS_MAX);
    assert!(all.totals().len() <= TOTALS_MAX + 1);
    let count = Count {
        losses: u64::from(containers) * each,
        bytes: u64::from(containers) * each * 10,
    };
    assert_eq!(all.by_reason()["rotated_away"], count);
    let bytes = all.encode();
    assert!(bytes.len() < 512 << 10, "{} bytes", bytes.len());
    assert_eq!(Ledger::decode(&bytes), Ok((all, 0)));
}
