//! A checkpoint's bytes: understood whole or refused, and what is understood is written again the
//! same.

use agent_core::checkpoint::Checkpoint;
use agent_core::{CheckpointError, Pipeline};

pub fn run(data: &[u8]) {
    decode(data);
    // Behind a right header, so that the search reaches what stands in the body.
    let crc = crc32fast::hash(data);
    let header = format!("platform-agent checkpoint 1 {crc:08x} {}\n", data.len());
    decode(&[header.as_bytes(), data].concat());
}

fn decode(file: &[u8]) {
    match Checkpoint::decode(file) {
        Ok(checkpoint) => {
            let again = checkpoint.encode();
            assert_eq!(Checkpoint::decode(&again), Ok(checkpoint));
            for len in [0, 1, again.len() / 2, again.len() - 1] {
                let cut = Checkpoint::decode(&again[..len]);
                assert!(matches!(cut, Err(CheckpointError::Damaged(_))));
            }
            // It may name containers that no folder can have.
            drop(Pipeline::resume(crate::shell::settings(), &again));
        }
        Err(error) => assert!(error.to_string().starts_with("checkpoint ")),
    }
}
