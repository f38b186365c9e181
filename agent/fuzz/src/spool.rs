//! A segment's bytes: understood whole or refused, and what is understood is written again the
//! same.

use crate::segment::{decode, encode, header};

pub fn run(data: &[u8]) {
    check(data);
    // Behind a right first line, so that the search reaches what stands behind it.
    let crc = crc32fast::hash(data);
    let first = format!("platform-agent spool 1 {crc:08x} {}\n", data.len());
    check(&[first.as_bytes(), data].concat());
    let end = data.iter().position(|&byte| byte == b'\n');
    let index = crc32fast::hash(end.map_or(data, |end| &data[..=end]));
    let first = format!(
        "platform-agent spool 2 {crc:08x} {} {index:08x}\n",
        data.len()
    );
    check(&[first.as_bytes(), data].concat());
}

fn check(file: &[u8]) {
    let Ok(bodies) = decode(file) else {
        return;
    };
    let said = header(file).expect("it was read");
    let bytes: usize = bodies.iter().map(|body| body.bytes.len()).sum();
    assert_eq!(said.bytes(), bytes as u64);
    let entries = bodies.iter().map(|body| body.entries);
    assert_eq!(said.entries(), entries.fold(0, u32::saturating_add));
    let again = encode(&[], said.covered.clone(), &bodies);
    let read = decode(&again).expect("our own");
    let index = header(&*again).expect("our own");
    assert!(index.covered == said.covered || index.covered.is_empty());
    assert!(
        read.iter()
            .map(|body| &body.bytes)
            .eq(bodies.iter().map(|body| &body.bytes))
    );
    assert!(decode(&again[..again.len() - 1]).is_err());
}
