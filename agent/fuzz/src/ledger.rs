//! A ledger's bytes: what is understood of them is written again the same.

use agent_core::ledger::Ledger;

pub fn run(data: &[u8]) {
    decode(data);
    // With a right checksum, so that the search reaches what stands in a line.
    for line in data.split(|&byte| byte == b'\n') {
        let crc = crc32fast::hash(line);
        decode(&[line, format!(",\"crc\":\"{crc:08x}\"}}\n").as_bytes()].concat());
    }
}

fn decode(file: &[u8]) {
    if let Ok((ledger, _)) = Ledger::decode(file) {
        let again = ledger.encode();
        assert_eq!(Ledger::decode(&again), Ok((ledger.clone(), 0)));
        let mut twice = ledger.clone();
        ledger
            .records()
            .iter()
            .cloned()
            .for_each(|record| twice.add(record));
        assert_eq!(twice.records().len(), ledger.records().len());
    }
}
