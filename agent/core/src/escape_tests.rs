#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// serde_json's reading of a JSON string with this body.
fn oracle(text: &[u8]) -> Option<String> {
    serde_json::from_slice(&[b"\"", text, b"\""].concat()).ok()
}

fn repaired(bytes: &[u8], escapes: bool) -> Vec<u8> {
    let mut out = Vec::new();
    repair(bytes, escapes, &mut out);
    out
}

/// A quote ends the text before its end, or its last backslash would escape the quote behind it.
fn is_broken(text: &[u8]) -> bool {
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'"' || (*byte == b'\\' && bytes.next().is_none()) {
            return true;
        }
    }
    false
}

/// Pieces of which texts are made: each kind of unit, right, cut short and wrong.
const UNITS: &[&[u8]] = &[
    b"a",
    b"\x7f",
    b"/",
    b"u",
    b"n",
    b"0041",
    "ß".as_bytes(),
    "€".as_bytes(),
    "😀".as_bytes(),
    "\u{2028}".as_bytes(),
    b"\\\"",
    b"\\\\",
    b"\\/",
    b"\\b",
    b"\\f",
    b"\\n",
    b"\\r",
    b"\\t",
    b"\\u0000",
    b"\\u007f",
    b"\\u0080",
    b"\\u07ff",
    b"\\u0800",
    b"\\ud7ff",
    b"\\ue000",
    b"\\uFFFD",
    b"\\ud83d\\ude00",
    b"\\udbff\\udfff",
    b"\\ud800\\udc00",
];
const FAULTS: &[&[u8]] = &[
    b"\\",
    b"\"",
    b"\x00",
    b"\x1f",
    b"\n",
    b"\t",
    b"\x80",
    b"\xbf",
    b"\xc0",
    b"\xc3",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98",
    b"\xf5",
    b"\xff",
    b"\\x",
    b"\\u",
    b"\\u12",
    b"\\u12g4",
    b"\\ud83d",
    b"\\ud83dx",
    b"\\ude00",
    b"\\ud83d\\u0041",
    b"\\ud83d\\ud83d\\ude00",
    b"\\ud83d\\",
];

fn text(of: Vec<&'static [u8]>) -> impl Strategy<Value = Vec<u8>> {
    let unit = (proptest::sample::select(of), 1..3usize).prop_map(|(unit, n)| unit.repeat(n));
    // The filler moves units over the borders of the blocks that are looked at together.
    let filler = prop_oneof![Just(0), 0..80usize].prop_map(|n| vec![b'x'; n]);
    proptest::collection::vec(prop_oneof![3 => unit, 1 => filler], 0..12)
        .prop_map(|units| units.concat())
}

fn valid_text() -> impl Strategy<Value = Vec<u8>> {
    text(UNITS.to_vec())
}

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    text([UNITS, FAULTS].concat())
}

fn assert_checked(text: &[u8]) {
    let found = check(text);
    assert_eq!(
        found == Check::Valid,
        oracle(text).is_some(),
        "{:?}",
        text.escape_ascii()
    );
    assert_eq!(
        found == Check::Broken,
        is_broken(text),
        "{:?}",
        text.escape_ascii()
    );
}

proptest! {
    #[test]
    fn check_agrees_with_serde_json(text in any_text()) {
        assert_checked(&text);
    }

    #[test]
    fn check_agrees_with_serde_json_on_any_bytes(text in proptest::collection::vec(any::<u8>(), 0..100)) {
        assert_checked(&text);
    }

    #[test]
    fn valid_texts_are_measured_as_serde_json_decodes_them(text in valid_text()) {
        let decoded = oracle(&text).unwrap();
        prop_assert_eq!(check(&text), Check::Valid);
        prop_assert_eq!(decoded_len(&text), decoded.len());
    }

    #[test]
    fn cut_takes_the_longest_start_that_fits(text in valid_text()) {
        let decoded = oracle(&text).unwrap();
        for max in 0..=decoded.len() + 1 {
            let mut want = max.min(decoded.len());
            while !decoded.is_char_boundary(want) {
                want -= 1;
            }
            let (escaped, len) = cut(&text, max);
            prop_assert_eq!(len, want);
            prop_assert_eq!(oracle(&text[..escaped]).unwrap(), &decoded[..want]);
            prop_assert_eq!(oracle(&text[escaped..]).unwrap(), &decoded[want..]);
        }
    }

    #[test]
    fn repair_of_plain_bytes_keeps_every_character(bytes in any_text()) {
        let out = repaired(&bytes, false);
        prop_assert_eq!(oracle(&out).unwrap(), String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn repair_of_any_bytes_is_valid(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        for escapes in [false, true] {
            prop_assert_eq!(check(&repaired(&bytes, escapes)), Check::Valid);
        }
        prop_assert_eq!(oracle(&repaired(&bytes, false)).unwrap(), String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn repair_leaves_a_valid_text_alone(text in valid_text()) {
        prop_assert_eq!(repaired(&text, true), text);
    }

    #[test]
    fn repair_mends_once(text in any_text()) {
        let out = repaired(&text, true);
        prop_assert_eq!(check(&out), Check::Valid);
        prop_assert_eq!(repaired(&out, true), out);
    }
}

#[test]
fn every_pair_of_units_at_every_place_of_a_block() {
    for first in [UNITS, FAULTS].concat() {
        for second in [UNITS, FAULTS].concat() {
            for fill in [0, 1, 26, 27, 28, 29, 30, 31, 32, 33, 63, 64] {
                assert_checked(&[&b"x".repeat(fill), first, second].concat());
            }
        }
    }
}

#[test]
fn every_byte_behind_a_backslash_and_alone() {
    for byte in 0..=u8::MAX {
        for fill in [0, 30, 31, 32] {
            let fill = b"x".repeat(fill);
            assert_checked(&[&fill[..], &[byte]].concat());
            assert_checked(&[&fill[..], b"\\", &[byte]].concat());
            assert_checked(
                &[
                    &fill[..],
                    b"\\",
                    &[byte],
                    b"0041 and more of it, over a block's end",
                ]
                .concat(),
            );
        }
    }
}

#[test]
fn every_escaped_code_unit() {
    for unit in 0..=u16::MAX {
        for text in [
            format!("\\u{unit:04x}"),
            format!("\\u{unit:04X}\\udc00"),
            format!("\\ud800\\u{unit:04x}"),
        ] {
            let decoded = oracle(text.as_bytes());
            assert_eq!(
                check(text.as_bytes()) == Check::Valid,
                decoded.is_some(),
                "{text}"
            );
            if let Some(decoded) = decoded {
                assert_eq!(decoded_len(text.as_bytes()), decoded.len(), "{text}");
            }
        }
    }
}

#[test]
fn repair_names_what_was_wrong() {
    for (text, mended) in [
        (&b"a\\ud83dz"[..], "a\u{fffd}z"),
        (b"a\\ude00z", "a\u{fffd}z"),
        (b"\\ud83d\\u0041", "\u{fffd}A"),
        (b"\\ud83d\\ud83d\\ude00", "\u{fffd}😀"),
        (b"C:\\xyz", "C:\\xyz"),
        (b"\\u12", "\\u12"),
        (b"tab\there", "tab\there"),
        (b"half \xe2\x82", "half \u{fffd}"),
        (b"end\\", "end\\"),
        (b"\\\xff", "\\\u{fffd}"),
        (b"\"", "\""),
    ] {
        assert_eq!(
            oracle(&repaired(text, true)).unwrap(),
            mended,
            "{:?}",
            text.escape_ascii()
        );
    }
}
