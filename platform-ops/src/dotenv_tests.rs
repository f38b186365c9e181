#![allow(clippy::unwrap_used)]

use super::*;

fn read(text: &str) -> BTreeMap<String, String> {
    values(&parse(text, &BTreeMap::new()).unwrap())
}

#[test]
fn a_value_is_neither_cut_at_its_second_equals_sign_nor_taken_from_a_comment() {
    let text = "# APP_PASSWORD=commented\nOLD_APP_PASSWORD=zzz\nAPP_PASSWORD=ab=cd==\n";
    assert_eq!(read(text)["APP_PASSWORD"], "ab=cd==");
}

#[test]
fn what_is_quoted_is_read_back() {
    for value in [
        "plain", "a b", "a#b", "a #b", "$x", "${x}", "it's", "\"", "a\nb", "", " ",
    ] {
        let text = format!("K={}\nL=1\n", quote(value).unwrap());
        assert_eq!(read(&text)["K"], value, "{text}");
        assert_eq!(read(&text)["L"], "1");
    }
    assert_eq!(quote("a\\"), None);
}

#[test]
fn what_a_dollar_changed_is_told() {
    let entries = parse("PW=abc$def#ghi\n", &BTreeMap::new()).unwrap();
    assert_eq!(entries[0].value, "abc#ghi");
    assert_eq!(entries[0].literal.as_deref(), Some("abc$def#ghi"));
    assert_eq!(entries[0].unset, ["def"]);
}

#[test]
fn errors_name_the_line_and_no_value() {
    let error = parse("A=1\nB='se\ncret\n", &BTreeMap::new()).unwrap_err();
    assert_eq!(error, ParseError::Quote { line: 2 });
    let error = parse("A=1\n\nB C=secret\n", &BTreeMap::new()).unwrap_err();
    assert_eq!(error, ParseError::Key { line: 3 });
}
