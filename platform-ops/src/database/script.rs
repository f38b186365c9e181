//! An SQL script as psql reads it: far enough to know whether one transaction can hold it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use crate::failure::Failure;

/// More is a dump, and no schema.
const BYTES_MAX: u64 = 64 << 20;

/// A script, looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Script {
    /// Where it came from.
    pub path: PathBuf,
    /// Statements and commands of psql.
    pub statements: usize,
    /// Extensions that it makes itself.
    pub extensions: Vec<String>,
    /// Why one transaction cannot hold it; none when it can.
    pub apart: Vec<String>,
    /// The script itself.
    #[serde(skip)]
    pub text: String,
}

/// A statement's words in capitals, quoted names as they stand behind a quote.
#[derive(Debug, Default, PartialEq, Eq)]
struct Statement {
    line: usize,
    words: Vec<String>,
}

impl Script {
    /// Reads a file that is meant for `database`.
    ///
    /// # Errors
    /// When it cannot be read, is no text, or would leave the database.
    pub fn read(path: &Path, database: &str) -> anyhow::Result<Self> {
        let failed = || format!("read {}", path.display());
        let bytes = std::fs::metadata(path).with_context(failed)?.len();
        if bytes > BYTES_MAX {
            let what = format!("{} is larger than {BYTES_MAX} bytes", path.display());
            return Err(Failure::refused(what)
                .try_next("platform-ops db psql < FILE")
                .into());
        }
        let text = std::fs::read_to_string(path).with_context(failed)?;
        Self::parse(path, &text, database)
    }

    fn parse(path: &Path, text: &str, database: &str) -> anyhow::Result<Self> {
        // Windows' editors put one; PostgreSQL takes it for a word.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut script = Self {
            path: path.to_owned(),
            statements: 0,
            extensions: Vec::new(),
            apart: Vec::new(),
            text: text.to_owned(),
        };
        let mut scanner = Scanner::new(text);
        while let Some(statement) = scanner.next() {
            script.statements += 1;
            let words: Vec<&str> = statement.words.iter().map(String::as_str).collect();
            if let Some(why) = leaves(&words, database) {
                let what = format!("{}, line {}: {why}", path.display(), statement.line);
                return Err(Failure::refused(what)
                    .try_next("take that line out: the database is made by the plan")
                    .into());
            }
            if let Some(why) = stands_apart(&words) {
                script.apart.push(format!("line {}: {why}", statement.line));
            }
            script.extensions.extend(extension(&words));
        }
        Ok(script)
    }

    /// Whether one transaction can hold it.
    pub fn is_one_transaction(&self) -> bool {
        self.apart.is_empty()
    }
}

/// Why a statement does not belong into the database's own script.
fn leaves(words: &[&str], database: &str) -> Option<String> {
    match words {
        ["CREATE" | "DROP", "DATABASE", ..] => Some(format!("{} DATABASE", words[0])),
        ["\\c" | "\\connect", name, ..] if !matches!(name.trim_matches('"'), "-" | "") => {
            let name = name.trim_matches('"');
            (name != database).then(|| format!("\\connect leaves {database} for {name}"))
        }
        _ => None,
    }
}

/// Why a statement cannot stand within a transaction that is not its own.
fn stands_apart(words: &[&str]) -> Option<String> {
    let begins = |count: usize| words[..count.min(words.len())].join(" ");
    match words {
        ["ROLLBACK", "TO", ..] | ["ROLLBACK", "WORK" | "TRANSACTION", "TO", ..] => None,
        ["BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "ABORT", ..] => {
            Some(format!("{} is of a transaction of its own", words[0]))
        }
        ["START" | "PREPARE", "TRANSACTION", ..] => {
            Some(format!("{} is of a transaction of its own", begins(2)))
        }
        ["CREATE" | "DROP" | "REINDEX" | "ALTER", ..] if words.contains(&"CONCURRENTLY") => {
            let words: Vec<&str> = words.iter().copied().filter(|w| *w != "UNIQUE").collect();
            let object = words.get(1).copied().unwrap_or_default();
            Some(format!(
                "{} {object} … CONCURRENTLY cannot run inside a transaction",
                words[0]
            ))
        }
        ["VACUUM", ..]
        | ["ALTER", "SYSTEM", ..]
        | ["CREATE" | "DROP", "TABLESPACE" | "SUBSCRIPTION", ..] => {
            let count = if words[0] == "VACUUM" { 1 } else { 2 };
            Some(format!("{} cannot run inside a transaction", begins(count)))
        }
        ["\\c" | "\\connect", ..] => Some("\\connect begins a new session".to_owned()),
        _ => None,
    }
}

/// The extension that a statement makes.
fn extension(words: &[&str]) -> Option<String> {
    let name = match words {
        ["CREATE", "EXTENSION", "IF", "NOT", "EXISTS", name, ..]
        | ["CREATE", "EXTENSION", name, ..] => name,
        _ => return None,
    };
    Some(match name.strip_prefix('"') {
        Some(quoted) => quoted.to_owned(),
        None => name.to_lowercase(),
    })
}

/// Cuts a script where psql does (psqlscan.l).
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            bytes: text.as_bytes(),
            at: 0,
            line: 1,
        }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn step(&mut self) {
        if self.peek(0) == b'\n' {
            self.line += 1;
        }
        self.at = (self.at + 1).min(self.bytes.len());
    }

    /// Goes on until behind `end`, or to the end of the text.
    fn skip_past(&mut self, end: &[u8]) {
        while self.at < self.bytes.len() && !self.bytes[self.at..].starts_with(end) {
            self.step();
        }
        for _ in 0..end.len().min(self.bytes.len() - self.at) {
            self.step();
        }
    }

    /// A comment, which may hold others.
    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => depth += 1,
                (b'*', b'/') => depth -= 1,
                _ if self.at >= self.bytes.len() => return,
                _ => {
                    self.step();
                    continue;
                }
            }
            self.at += 2;
            if depth == 0 {
                return;
            }
        }
    }

    /// A text in single quotes; with an E in front backslashes escape.
    fn skip_text(&mut self, escapes: bool) {
        self.step();
        while self.at < self.bytes.len() && self.peek(0) != b'\'' {
            if escapes && self.peek(0) == b'\\' {
                self.step();
            }
            self.step();
        }
        self.step();
    }

    /// `$tag$`, if one stands here.
    fn dollar_tag(&self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at + 1..)?;
        let end = rest.iter().position(|byte| *byte == b'$')?;
        let tag = &rest[..end];
        let fits = tag.first().is_none_or(|byte| !byte.is_ascii_digit())
            && tag.iter().all(|byte| is_word(*byte));
        fits.then(|| &self.bytes[self.at..self.at + end + 2])
    }

    fn word(&mut self) -> &'a [u8] {
        let begin = self.at;
        while is_word(self.peek(0)) || self.peek(0) == b'$' {
            self.at += 1;
        }
        &self.bytes[begin..self.at]
    }

    /// A command of psql: the rest of its line, in words.
    fn command(&mut self) -> Statement {
        let (line, begin) = (self.line, self.at);
        while self.at < self.bytes.len() && self.peek(0) != b'\n' {
            self.at += 1;
        }
        let text = String::from_utf8_lossy(&self.bytes[begin..self.at]).into_owned();
        let words = text.split_whitespace().map(|word| word.replace(';', ""));
        Statement {
            line,
            words: words.collect(),
        }
    }

    fn next(&mut self) -> Option<Statement> {
        let mut statement = Statement::default();
        let (mut parentheses, mut blocks) = (0_i32, 0_i32);
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'-', b'-') => self.skip_past(b"\n"),
                (b'/', b'*') => self.skip_comment(),
                (b'\'', _) => self.skip_text(false),
                (b'E' | b'e', b'\'') => {
                    self.at += 1;
                    self.skip_text(true);
                }
                (b'"', _) => {
                    let begin = self.at + 1;
                    self.step();
                    self.skip_past(b"\"");
                    let name = &self.bytes[begin..self.at.max(begin + 1) - 1];
                    statement.push(self.line, format!("\"{}", String::from_utf8_lossy(name)));
                }
                (b'$', _) => match self.dollar_tag() {
                    Some(tag) => {
                        self.at += tag.len();
                        self.skip_past(tag);
                    }
                    None => self.at += 1,
                },
                (b'\\', _) if statement.words.is_empty() => return Some(self.command()),
                (b'\\', _) => drop(self.command()),
                (b'(', _) => {
                    parentheses += 1;
                    self.at += 1;
                }
                (b')', _) => {
                    parentheses -= 1;
                    self.at += 1;
                }
                (b';', _) => {
                    self.at += 1;
                    if parentheses <= 0 && blocks <= 0 && !statement.words.is_empty() {
                        if statement.is_copy() {
                            self.skip_past(b"\n\\.\n");
                        }
                        return Some(statement);
                    }
                }
                (byte, _) if is_word(byte) => {
                    let line = self.line;
                    let word = String::from_utf8_lossy(self.word()).to_uppercase();
                    blocks += statement.block(&word, blocks);
                    statement.push(line, word);
                }
                _ => self.step(),
            }
        }
        (!statement.words.is_empty()).then_some(statement)
    }
}

impl Statement {
    fn push(&mut self, line: usize, word: String) {
        if self.words.is_empty() {
            self.line = line;
        }
        self.words.push(word);
    }

    /// Rows follow in the script itself.
    fn is_copy(&self) -> bool {
        let from_stdin = |pair: &[String]| pair[0] == "FROM" && pair[1] == "STDIN";
        self.words[0] == "COPY" && self.words.windows(2).any(from_stdin)
    }

    /// How a word changes the depth of blocks: a function's body may stand without quotes.
    fn block(&self, word: &str, depth: i32) -> i32 {
        let is_routine = self.words.first().is_some_and(|first| first == "CREATE")
            && self.words[..self.words.len().min(4)]
                .iter()
                .any(|word| word == "FUNCTION" || word == "PROCEDURE");
        match word {
            "BEGIN" if is_routine => 1,
            "CASE" if is_routine && depth > 0 => 1,
            "END" if is_routine && depth > 0 => -1,
            _ => 0,
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
