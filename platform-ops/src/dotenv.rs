//! Env files as `docker compose --env-file` reads them (compose-go's dotenv parser), byte for byte.
//!
//! `grep | cut` does not: it takes comments for values and ends a value at its first `=`. A test
//! compares this parser with `docker compose config`.

mod interpolation;

pub use interpolation::expand;

use std::collections::BTreeMap;

/// What went wrong, without any value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// A key holds a character that none may hold.
    #[error("line {line}: a key may hold letters, digits and _.-[] only")]
    Key {
        /// Counted from 1.
        line: usize,
    },
    /// A quote is never closed.
    #[error("line {line}: the quote that opens here is never closed")]
    Quote {
        /// Counted from 1.
        line: usize,
    },
    /// `${` is not followed by a name, or a required variable is not set.
    #[error("line {line}: {why}")]
    Expand {
        /// Counted from 1.
        line: usize,
        /// What is wrong with the variable.
        why: String,
    },
}

/// How a value was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// As it stands; ` #` begins a comment, `$` a variable.
    Bare,
    /// In single quotes: literally.
    Single,
    /// In double quotes: escapes and variables.
    Double,
}

/// An assignment.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value as Compose sees it.
    pub value: String,
    /// Where it begins, counted from 1.
    pub line: usize,
    /// How it was written.
    pub quoting: Quoting,
    /// The value before variables were put in, where that changed it.
    pub literal: Option<String>,
    /// Variables it uses that are set nowhere: Compose takes them as empty.
    pub unset: Vec<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The value is likely a secret.
        write!(f, "{} (line {})", self.key, self.line)
    }
}

/// Parses a file. `outer` holds what earlier files and the process's environment set: `${X}` is
/// looked up there first.
///
/// # Errors
/// What Compose refuses too.
pub fn parse(text: &str, outer: &BTreeMap<String, String>) -> Result<Vec<Entry>, ParseError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n");
    let mut parser = Parser {
        text: &text,
        position: 0,
        outer,
        known: BTreeMap::new(),
    };
    let mut entries = Vec::new();
    while parser.find_statement() {
        if let Some(entry) = parser.statement()? {
            parser.known.insert(entry.key.clone(), entry.value.clone());
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// The values by key; a later assignment wins.
pub fn values(entries: &[Entry]) -> BTreeMap<String, String> {
    let pair = |entry: &Entry| (entry.key.clone(), entry.value.clone());
    entries.iter().map(pair).collect()
}

/// How to write a value so that it is read back as it is: bare where every character is safe,
/// else in single quotes. None for what no quoting carries.
pub fn quote(value: &str) -> Option<String> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_-./:@,+=%".contains(c);
    if value.chars().all(safe) {
        return Some(value.to_owned());
    }
    // A backslash before a quote, or at the end, would be taken for an escape.
    if value.contains('\\') || value.contains('\r') {
        return None;
    }
    Some(format!("'{}'", value.replace('\'', "\\'")))
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
    outer: &'a BTreeMap<String, String>,
    known: BTreeMap<String, String>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    fn line(&self) -> usize {
        1 + self.text[..self.position].matches('\n').count()
    }

    /// Moves to the next statement, over empty lines and comments.
    fn find_statement(&mut self) -> bool {
        loop {
            let rest = self.rest();
            let start = rest.trim_start();
            self.position += rest.len() - start.len();
            if start.is_empty() {
                return false;
            }
            if !start.starts_with('#') {
                return true;
            }
            match start.find('\n') {
                Some(end) => self.position += end,
                None => return false,
            }
        }
    }

    /// One statement; None for a key without `=`, which only passes on what is set outside.
    fn statement(&mut self) -> Result<Option<Entry>, ParseError> {
        let line = self.line();
        let bad_key = ParseError::Key { line };
        if let Some(after) = self.rest().strip_prefix("export")
            && after.starts_with(|c: char| c.is_ascii_whitespace())
        {
            let name = after.trim_start_matches(is_blank);
            self.position += self.rest().len() - name.len();
        }
        let rest = self.rest();
        let end = rest.find(['=', ':', '\n']).unwrap_or(rest.len());
        let allowed = |c: char| is_blank(c) || c.is_alphanumeric() || "_.-[]".contains(c);
        if end == rest.len() || !rest[..end].chars().all(allowed) {
            return Err(bad_key);
        }
        let inherited = rest[end..].starts_with('\n');
        let key = rest[..end].trim_end().to_owned();
        self.position += end + 1;
        if key.is_empty() || key.contains(' ') {
            return Err(bad_key);
        }
        self.skip_blanks();
        if inherited {
            return Ok(self.outer.get(&key).map(|value| Entry {
                value: value.clone(),
                key,
                line,
                quoting: Quoting::Bare,
                literal: None,
                unset: Vec::new(),
            }));
        }
        let (literal, quoting) = self.value(line)?;
        let (value, unset) = if quoting == Quoting::Single {
            (literal.clone(), Vec::new())
        } else {
            let look_up = |name: &str| {
                self.outer
                    .get(name)
                    .or_else(|| self.known.get(name))
                    .cloned()
            };
            expand(&literal, &look_up).map_err(|why| ParseError::Expand { line, why })?
        };
        let literal = (literal != value).then_some(literal);
        Ok(Some(Entry {
            key,
            value,
            line,
            quoting,
            literal,
            unset,
        }))
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start_matches(is_blank).len();
    }

    /// The value before variables are put in.
    fn value(&mut self, line: usize) -> Result<(String, Quoting), ParseError> {
        let rest = self.rest();
        let Some(quote @ ('"' | '\'')) = rest.chars().next() else {
            let end = rest.find('\n').unwrap_or(rest.len());
            let value = rest[..end].split(" #").next().unwrap_or_default();
            let value = value.trim_end().to_owned();
            self.position += (end + 1).min(rest.len());
            return Ok((value, Quoting::Bare));
        };
        let mut value = String::new();
        let mut escaped = false;
        for (index, c) in rest.char_indices().skip(1) {
            if c == quote && !escaped {
                self.position += index + 1;
                return Ok(if quote == '\'' {
                    (value, Quoting::Single)
                } else {
                    (unescape(&value), Quoting::Double)
                });
            }
            if c == '\\' && !escaped {
                escaped = true;
                continue;
            }
            // Only the quote itself loses its backslash here.
            if escaped && c != quote {
                value.push('\\');
            }
            escaped = false;
            value.push(c);
        }
        Err(ParseError::Quote { line })
    }
}

/// White space that does not end a line.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\x0b' | '\x0c' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

/// The escapes of a value in double quotes.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out += &rest[..at];
        let after = &rest[at + 1..];
        let Some(c) = after.chars().next() else {
            out.push('\\');
            return out;
        };
        rest = &after[c.len_utf8()..];
        match c {
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            'f' => out.push('\x0c'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'v' => out.push('\x0b'),
            '"' | '\\' => out.push(c),
            // The expansion that follows takes two for one.
            '$' => out += "$$",
            '0' => {
                let digits: String = rest
                    .chars()
                    .take(3)
                    .take_while(char::is_ascii_digit)
                    .collect();
                match u8::from_str_radix(&digits, 8) {
                    Ok(byte) if digits.len() == 3 => {
                        out.push(char::from(byte));
                    }
                    _ => out = out + "\\" + &digits,
                }
                rest = &rest[digits.len()..];
            }
            _ => {
                out.push('\\');
                out.push(c);
            }
        }
    }
    out + rest
}

#[cfg(test)]
#[path = "dotenv_tests.rs"]
mod tests;
