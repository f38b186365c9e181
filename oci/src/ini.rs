//! INI files as Python's `configparser` reads them with `interpolation=None`: that is how Oracle's
//! SDK and CLI read `~/.oci/config`.
//!
//! `[DEFAULT]` is inherited by every section; keys are case-insensitive; `=` or `:` ends a key;
//! `#` and `;` begin a comment only at the start of a line; a deeper indented line continues the
//! value before it; a section or a key that comes twice is an error; `%` means nothing.

use zeroize::Zeroizing;

const DEFAULT_SECTION: &str = "DEFAULT";

/// A parsed file.
pub(crate) struct Ini {
    defaults: Section,
    sections: Vec<Section>,
}

struct Section {
    name: String,
    entries: Vec<Entry>,
}

struct Entry {
    key: String,
    value: Value,
}

/// A value with the place where it stands.
#[derive(Clone)]
pub(crate) struct Value {
    /// The text, without the white space around it. Zeroised: it may be a passphrase.
    pub text: Zeroizing<String>,
    /// The line of its key, from 1.
    pub line: usize,
}

/// What is wrong, and in which line (from 1). Never repeats a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub(crate) struct IniError {
    pub line: usize,
    pub what: &'static str,
}

impl Ini {
    pub(crate) fn parse(text: &str) -> Result<Self, IniError> {
        let mut parser = Parser::default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in split_lines(text).enumerate() {
            parser.line(index + 1, line)?;
        }
        Ok(parser.finish())
    }

    /// Whether the section exists. `DEFAULT` always does.
    pub(crate) fn has_section(&self, name: &str) -> bool {
        name == DEFAULT_SECTION || self.sections.iter().any(|section| section.name == name)
    }

    /// The names of the sections in the file, without `DEFAULT`.
    pub(crate) fn section_names(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|section| section.name.as_str())
    }

    /// The value of `key` (lower case) in `section`, else in `DEFAULT`.
    pub(crate) fn get(&self, section: &str, key: &str) -> Option<&Value> {
        let own = self
            .sections
            .iter()
            .find(|candidate| candidate.name == section);
        own.and_then(|own| own.get(key))
            .or_else(|| self.defaults.get(key))
    }
}

impl Section {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            entries: Vec::new(),
        }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }
}

/// Python opens text files with universal newlines: `\n`, `\r\n` and `\r` all end a line.
fn split_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

#[derive(Default)]
struct Parser {
    defaults: Option<Section>,
    sections: Vec<Section>,
    current: Option<Current>,
    indent: usize,
    in_value: bool,
}

#[derive(Clone, Copy)]
enum Current {
    Defaults,
    Last,
}

impl Parser {
    fn line(&mut self, number: usize, line: &str) -> Result<(), IniError> {
        let text = line.trim();
        if text.starts_with(['#', ';']) {
            return Ok(());
        }
        if text.is_empty() {
            self.continue_value("");
            return Ok(());
        }
        let indent = line.chars().take_while(|char| char.is_whitespace()).count();
        if self.in_value && indent > self.indent {
            self.continue_value(text);
            return Ok(());
        }
        self.indent = indent;
        match section_name(text) {
            Some(name) => self.open_section(number, name),
            None => self.add_entry(number, text),
        }
    }

    fn open_section(&mut self, number: usize, name: &str) -> Result<(), IniError> {
        self.in_value = false;
        if name == DEFAULT_SECTION {
            self.defaults
                .get_or_insert_with(|| Section::named(DEFAULT_SECTION));
            self.current = Some(Current::Defaults);
            return Ok(());
        }
        if self.sections.iter().any(|section| section.name == name) {
            return Err(IniError {
                line: number,
                what: "this section comes twice",
            });
        }
        self.sections.push(Section::named(name));
        self.current = Some(Current::Last);
        Ok(())
    }

    fn add_entry(&mut self, number: usize, text: &str) -> Result<(), IniError> {
        let error = |what| IniError { line: number, what };
        let Some(section) = self.current_section() else {
            return Err(error("a key stands before the first [section]"));
        };
        let (key, value) = text
            .split_once(['=', ':'])
            .ok_or_else(|| error("neither a [section] nor a key with a value"))?;
        let key = key.trim_end().to_lowercase();
        if key.is_empty() {
            return Err(error("a value without a key"));
        }
        if section.get(&key).is_some() {
            return Err(error("this key comes twice in its section"));
        }
        let text = Zeroizing::new(value.trim_start().to_owned());
        section.entries.push(Entry {
            key,
            value: Value { text, line: number },
        });
        self.in_value = true;
        Ok(())
    }

    fn continue_value(&mut self, text: &str) {
        if !self.in_value {
            return;
        }
        let section = self.current_section();
        let Some(entry) = section.and_then(|section| section.entries.last_mut()) else {
            return;
        };
        // Built whole, so that the old text is zeroised instead of reallocated.
        entry.value.text = Zeroizing::new([entry.value.text.as_str(), "\n", text].concat());
    }

    fn current_section(&mut self) -> Option<&mut Section> {
        match self.current? {
            Current::Defaults => self.defaults.as_mut(),
            Current::Last => self.sections.last_mut(),
        }
    }

    fn finish(mut self) -> Ini {
        let defaults = self
            .defaults
            .take()
            .unwrap_or_else(|| Section::named(DEFAULT_SECTION));
        let mut ini = Ini {
            defaults,
            sections: self.sections,
        };
        for section in ini.sections.iter_mut().chain([&mut ini.defaults]) {
            for entry in &mut section.entries {
                let trimmed = entry.value.text.trim_end();
                if trimmed.len() < entry.value.text.len() {
                    entry.value.text = Zeroizing::new(trimmed.to_owned());
                }
            }
        }
        ini
    }
}

/// The name in `[name]`; what follows the last `]` is ignored, as configparser does.
fn section_name(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.rfind(']')?;
    (end > 0).then(|| &inner[..end])
}

#[cfg(test)]
mod tests;
