//! A record of the quarantine: what is understood is written again the same, body and all.

use crate::record::Record;

pub fn run(data: &[u8]) {
    if let Ok(record) = Record::decode(data) {
        let file = record.encode().expect("it was read");
        let again = Record::decode(&file).expect("our own");
        assert_eq!(again.body.get(), record.body.get());
        assert_eq!(again.answer, record.answer);
        assert_eq!(again.refused_at, record.refused_at);
    }
    // Any body is kept byte for byte.
    if let Ok(record) = Record::new(data, String::new(), String::new()) {
        let file = record.encode().expect("it was read");
        let again = Record::decode(&file).expect("our own");
        assert_eq!(again.body.get(), record.body.get());
    }
}
