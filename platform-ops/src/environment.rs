//! platform.env: the single source of truth, read as Compose reads it.

use std::collections::BTreeMap;
use std::io;

use anyhow::Context as _;

use crate::compose;
use crate::dotenv::{self, Entry};
use crate::failure::Failure;
use crate::file::{self, Access};
use crate::session::Session;

/// What platform.env says.
#[derive(Clone)]
pub struct Environment {
    text: String,
    entries: Vec<Entry>,
    values: BTreeMap<String, String>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.entries).finish()
    }
}

/// Words in a key that make its value a secret.
const SECRET_WORDS: [&str; 6] = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "KEY", "DSN"];

/// Whether the value of this key must not be shown.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_uppercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
        || key.ends_with("_URL")
        || key.ends_with("_PASS")
}

impl Environment {
    /// Reads a text; what Compose would refuse, this refuses.
    ///
    /// # Errors
    /// Names the line, never a value.
    pub fn parse(text: &str) -> Result<Self, dotenv::ParseError> {
        let entries = dotenv::parse(text, &compose::clean_environment())?;
        Ok(Self {
            values: dotenv::values(&entries),
            text: text.to_owned(),
            entries,
        })
    }

    /// Reads `<root>/config/platform.env` and teaches the redactor its secrets.
    ///
    /// # Errors
    /// When it is not there, may not be read, or Compose would refuse it.
    pub fn load(session: &Session) -> anyhow::Result<Self> {
        let path = session.root.platform_env();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::refused(format!("there is no {}", path.display()))
                    .try_next(
                        "platform-ops init on an empty host, platform-ops adopt on a running one",
                    )
                    .into());
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(
                    Failure::refused(format!("reading {} needs root", path.display()))
                        .try_next("run it with sudo")
                        .into(),
                );
            }
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let environment = Self::parse(&text)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        for (key, value) in &environment.values {
            if is_secret(key) {
                session.redactor.learn(value);
            }
        }
        Ok(environment)
    }

    /// The value of a key that is set and not empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The value of a key, or a default.
    pub fn get_or(&self, key: &str, default: &str) -> String {
        self.get(key).unwrap_or(default).to_owned()
    }

    /// All values by key.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// The assignments in the file's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The text as it stands in the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same file with a key set: its last assignment replaced, or a line appended. Everything
    /// else stays byte for byte.
    ///
    /// # Errors
    /// When no quoting of the value would be read back as it is.
    pub fn with(&self, key: &str, value: &str) -> anyhow::Result<Self> {
        let quoted = dotenv::quote(value).with_context(|| {
            format!("{key}: the value holds a character that no quoting carries")
        })?;
        let assignment = format!("{key}={quoted}");
        let mut lines: Vec<&str> = self.text.lines().collect();
        let last = self.entries.iter().rfind(|entry| entry.key == key);
        match last {
            Some(entry) => {
                let begin = entry.line - 1;
                // A quoted value may go on over several lines.
                let next = self
                    .entries
                    .iter()
                    .map(|other| other.line - 1)
                    .find(|line| *line > begin);
                let text_end = lines.len();
                let mut end = begin + 1;
                while end < next.unwrap_or(text_end) && !self.is_statement_end(&lines[begin..end]) {
                    end += 1;
                }
                lines.splice(begin..end, [assignment.as_str()]);
            }
            None => lines.push(&assignment),
        }
        let text = lines.join("\n") + "\n";
        let changed = Self::parse(&text)?;
        anyhow::ensure!(
            changed.values.get(key).map(String::as_str) == Some(value),
            "{key}: the file would not be read back as written"
        );
        Ok(changed)
    }

    /// The same file with a key that stands for another one.
    ///
    /// # Errors
    /// When the key is set already.
    pub fn with_reference(&self, key: &str, target: &str) -> anyhow::Result<Self> {
        anyhow::ensure!(!self.values.contains_key(key), "{key} is set already");
        let newline = if self.text.is_empty() || self.text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        Ok(Self::parse(&format!(
            "{}{newline}{key}=${{{target}}}\n",
            self.text
        ))?)
    }

    fn is_statement_end(&self, lines: &[&str]) -> bool {
        dotenv::parse(&lines.join("\n"), &self.values).is_ok()
    }

    /// How the file has to be: root's alone.
    pub const ACCESS: Access = Access::root(0o600);

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be replaced; the old one is then still there.
    pub fn save(&self, session: &Session) -> anyhow::Result<()> {
        file::replace(
            &session.root.platform_env(),
            self.text.as_bytes(),
            Self::ACCESS,
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn setting_a_key_leaves_everything_else_byte_for_byte() {
        let text = "# A=comment\nA=1 # old\nB='two\nlines'\n\nC=3\n";
        let environment = Environment::parse(text).unwrap();
        let changed = environment.with("A", "x y").unwrap();
        assert_eq!(
            changed.text(),
            "# A=comment\nA='x y'\nB='two\nlines'\n\nC=3\n"
        );
        let changed = changed.with("B", "b").unwrap();
        assert_eq!(changed.text(), "# A=comment\nA='x y'\nB=b\n\nC=3\n");
        let changed = changed.with("D", "$4").unwrap();
        assert_eq!(changed.text(), "# A=comment\nA='x y'\nB=b\n\nC=3\nD='$4'\n");
        assert_eq!(changed.get("D"), Some("$4"));
    }

    #[test]
    fn debug_shows_no_value() {
        let environment = Environment::parse("X_PASSWORD=hunter2hunter2\n").unwrap();
        assert!(!format!("{environment:?}").contains("hunter2"));
    }
}
