//! What was typed: settings by table and key, each with where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Prefix of the environment variables that set keys.
pub const ENVIRONMENT_PREFIX: &str = "PLATFORM_AGENT_";

/// Where a setting was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The embedded default.toml.
    Default,
    /// A line, counted from 1, of the operator's file.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
        }
    }
}

/// A setting as it was typed.
#[derive(Clone, Debug, PartialEq)]
pub enum Typed {
    /// A quoted string, or the text of an environment variable.
    Text(String),
    /// An integer.
    Integer(i64),
    /// `true` or `false`.
    Flag(bool),
    /// A list of strings.
    List(Vec<String>),
    /// Something no key takes; the name of its type.
    Other(&'static str),
}

/// One setting with its origin.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its value.
    pub typed: Typed,
    /// Where it was typed.
    pub origin: Origin,
}

/// Something wrong with what was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `table.key`, or the table, or the file when it is no TOML at all.
    pub path: String,
    /// Where it was typed.
    pub origin: Origin,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text)?;
        match self.origin {
            Origin::Default => Ok(()),
            _ => write!(f, " ({})", self.origin),
        }
    }
}

/// Settings of all layers, the later ones on top of the earlier.
#[derive(Debug, Default)]
pub struct Layers {
    /// By (table, key).
    pub settings: BTreeMap<(String, String), Setting>,
    /// What could not be taken in.
    pub problems: Vec<Problem>,
}

impl Layers {
    /// Lays the settings of a TOML text on top. `path` is `None` for the embedded defaults.
    pub fn lay_toml(&mut self, path: Option<&Path>, text: &str) {
        let origin = |span: Range<usize>| match path {
            None => Origin::Default,
            Some(path) => Origin::File(path.to_owned(), line_of(text, span.start)),
        };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            self.problems.push(Problem {
                path: "syntax".to_owned(),
                origin: origin(error.span().unwrap_or(0..0)),
                text: error.message().to_owned(),
            });
        }
        for (table, value) in document.get_ref() {
            let DeValue::Table(keys) = value.get_ref() else {
                self.problems.push(Problem {
                    path: table.get_ref().to_string(),
                    origin: origin(table.span()),
                    text: "stands outside of any [table]".to_owned(),
                });
                continue;
            };
            for (key, value) in keys {
                let setting = Setting {
                    typed: typed(value),
                    origin: origin(key.span()),
                };
                let name = (table.get_ref().to_string(), key.get_ref().to_string());
                self.settings.insert(name, setting);
            }
        }
    }

    /// Lays the variables that start with [`ENVIRONMENT_PREFIX`] and name a table and a key on
    /// top.
    pub fn lay_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (name, value) in variables {
            let Some((table, key)) = name
                .strip_prefix(ENVIRONMENT_PREFIX)
                .and_then(|rest| rest.split_once("__"))
            else {
                continue;
            };
            self.settings.insert(
                (table.to_lowercase(), key.to_lowercase()),
                Setting {
                    typed: Typed::Text(value),
                    origin: Origin::Environment(name),
                },
            );
        }
    }
}

fn typed(value: &Spanned<DeValue<'_>>) -> Typed {
    match value.get_ref() {
        DeValue::String(text) => Typed::Text(text.to_string()),
        DeValue::Boolean(flag) => Typed::Flag(*flag),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Typed::Integer(number),
            Err(_) => Typed::Other("integer beyond 64 bits"),
        },
        DeValue::Datetime(time) => Typed::Text(time.to_string()),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .map_or(
                Typed::Other("list of something else than strings"),
                Typed::List,
            ),
        other => Typed::Other(other.type_str()),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}
