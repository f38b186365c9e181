//! From what was typed to what is meant: each key is taken once, and what is left is unknown.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::layer::{Layers, Origin, Problem, Setting, Typed};
use super::quantity;

/// Hands out typed settings as values, and remembers what was wrong with them.
#[derive(Debug)]
pub struct Resolver {
    layers: Layers,
    asked: BTreeSet<(String, String)>,
}

impl Resolver {
    /// A resolver over these layers.
    pub fn new(layers: Layers) -> Self {
        Self {
            layers,
            asked: BTreeSet::new(),
        }
    }

    fn take(&mut self, path: &str) -> Option<Setting> {
        let (table, key) = path.split_once('.').unwrap_or((path, ""));
        let name = (table.to_owned(), key.to_owned());
        let setting = self.layers.settings.remove(&name);
        self.asked.insert(name);
        setting
    }

    /// Notes a problem with a key whose value was already taken.
    pub fn complain(&mut self, path: &str, origin: Origin, text: impl Into<String>) {
        self.layers.problems.push(Problem {
            path: path.to_owned(),
            origin,
            text: text.into(),
        });
    }

    /// A string made into a `T`; `None` when the key is not set, or wrong.
    pub fn parsed<T>(
        &mut self,
        path: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let setting = self.take(path)?;
        let text = match setting.typed {
            Typed::Text(text) => text,
            Typed::Integer(number) => number.to_string(),
            Typed::Flag(flag) => flag.to_string(),
            Typed::List(_) => {
                self.complain(path, setting.origin, "takes one value, not a list");
                return None;
            }
            Typed::Other(kind) => {
                self.complain(path, setting.origin, format!("takes no {kind}"));
                return None;
            }
        };
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.complain(path, setting.origin, error);
                None
            }
        }
    }

    /// A string as it is.
    pub fn text(&mut self, path: &str) -> Option<String> {
        self.parsed(path, |text| Ok(text.to_owned()))
    }

    /// A path; empty counts as not set.
    pub fn path(&mut self, path: &str) -> Option<PathBuf> {
        self.text(path)
            .filter(|text| !text.is_empty())
            .map(PathBuf::from)
    }

    /// Bytes within these bounds.
    pub fn size(&mut self, path: &str, min: u64, max: u64) -> Option<u64> {
        self.parsed(path, |text| {
            within(quantity::size(text)?, min, max, |bytes| {
                bytesize::ByteSize(*bytes).to_string()
            })
        })
    }

    /// A duration within these bounds.
    pub fn duration(&mut self, path: &str, min: Duration, max: Duration) -> Option<Duration> {
        self.parsed(path, |text| {
            within(quantity::duration(text)?, min, max, |duration| {
                humantime::format_duration(*duration).to_string()
            })
        })
    }

    /// A whole number within these bounds.
    pub fn number(&mut self, path: &str, min: usize, max: usize) -> Option<usize> {
        self.parsed(path, |text| {
            let number = text
                .parse()
                .map_err(|_| format!("`{text}` is no whole number"))?;
            within(number, min, max, usize::to_string)
        })
    }

    /// `true` or `false`.
    pub fn flag(&mut self, path: &str) -> Option<bool> {
        self.parsed(path, |text| {
            bool::from_str(text).map_err(|_| format!("`{text}` is neither true nor false"))
        })
    }

    /// A string made into a `T` that has no default and must be given.
    pub fn required<T>(
        &mut self,
        path: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (table, key) = path.split_once('.').unwrap_or((path, ""));
        if !self
            .layers
            .settings
            .contains_key(&(table.to_owned(), key.to_owned()))
        {
            self.complain(path, Origin::Default, "is required");
        }
        self.parsed(path, parse)
    }

    /// A list of strings, and where it was typed; from the environment, separated by commas.
    pub fn list(&mut self, path: &str) -> Option<(Vec<String>, Origin)> {
        let setting = self.take(path)?;
        match (setting.typed, setting.origin) {
            (Typed::List(items), origin) => Some((items, origin)),
            (Typed::Text(text), origin @ Origin::Environment(_)) => {
                let items = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty());
                Some((items.map(str::to_owned).collect(), origin))
            }
            (_, origin) => {
                self.complain(path, origin, "takes a list: [\"one\", \"two\"]");
                None
            }
        }
    }

    /// Keys that were asked for.
    #[cfg(test)]
    pub fn asked(&self) -> &BTreeSet<(String, String)> {
        &self.asked
    }

    /// All problems, with one for each key that nobody asked for.
    pub fn finish(mut self) -> Vec<Problem> {
        for ((table, key), setting) in std::mem::take(&mut self.layers.settings) {
            let text = match self.nearest(&table, &key) {
                Some(known) => format!("unknown key; did you mean `{known}`?"),
                None if !self.asked.iter().any(|(asked, _)| *asked == table) => {
                    "unknown table".to_owned()
                }
                None => "unknown key".to_owned(),
            };
            self.complain(&format!("{table}.{key}"), setting.origin, text);
        }
        self.layers.problems
    }

    fn nearest(&self, table: &str, key: &str) -> Option<String> {
        let typed = format!("{table}.{key}");
        self.asked
            .iter()
            .map(|(table, key)| format!("{table}.{key}"))
            .map(|known| (strsim::jaro_winkler(&typed, &known), known))
            .filter(|(likeness, _)| *likeness > 0.9)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, known)| known)
    }
}

fn within<T: PartialOrd>(
    value: T,
    min: T,
    max: T,
    show: impl Fn(&T) -> String,
) -> Result<T, String> {
    if value < min {
        return Err(format!(
            "is {}, at least {} is needed",
            show(&value),
            show(&min)
        ));
    }
    if value > max {
        return Err(format!(
            "is {}, at most {} is possible",
            show(&value),
            show(&max)
        ));
    }
    Ok(value)
}
