//! The value of `log`: checked, measured, cut and mended as serde_json would read it.

use agent_core::escape::{self, Check};

use crate::input::Input;

fn decoded(text: &[u8]) -> Option<String> {
    serde_json::from_slice(&[b"\"", text, b"\""].concat()).ok()
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let max = input.below(256);
    let text = input.0;
    let oracle = decoded(text);
    assert_eq!(escape::check(text) == Check::Valid, oracle.is_some());
    let mut mended = Vec::new();
    escape::repair(text, true, &mut mended);
    let again = decoded(&mended).expect("what is mended is valid");
    if let Some(oracle) = oracle {
        assert_eq!(mended, text, "what is valid is left alone");
        assert_eq!(escape::decoded_len(text), oracle.len());
        assert_cut(text, &oracle, max);
    }
    assert_cut(&mended, &again, max);
    let mut plain = Vec::new();
    escape::repair(text, false, &mut plain);
    let plain = decoded(&plain).expect("any bytes become a valid text");
    assert_eq!(plain, String::from_utf8_lossy(text));
}

fn assert_cut(text: &[u8], oracle: &str, max: usize) {
    let mut want = max.min(oracle.len());
    while !oracle.is_char_boundary(want) {
        want -= 1;
    }
    let (at, len) = escape::cut(text, max);
    assert_eq!(len, want, "the longest start that fits");
    assert_eq!(decoded(&text[..at]).as_deref(), Some(&oracle[..want]));
    assert_eq!(decoded(&text[at..]).as_deref(), Some(&oracle[want..]));
}
