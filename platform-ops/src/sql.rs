//! Names and texts inside SQL.

/// An SQL identifier.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An SQL string, whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') {
        return format!("E'{}'", quoted.replace('\\', "\\\\"));
    }
    format!("'{quoted}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_break_out() {
        assert_eq!(identifier(r#"a"; drop"#), r#""a""; drop""#);
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'"), r"E'a\\'''");
    }
}
