//! The environment variables that configuration is taken from, as a value.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// A snapshot of environment variables.
///
/// Passed in instead of read where needed, so that a test says what it depends on and two threads
/// never race on the process's own. `Debug` shows names only: values may be secrets.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
}

impl Environment {
    /// The variables of this process, now. Those whose name is no UTF-8 are left out.
    pub fn process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect()
    }

    /// The value of `name`, when it is set, not empty, and UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)?
            .to_str()
            .filter(|value| !value.is_empty())
    }

    /// The first of `names` that is set, with its value.
    pub(crate) fn first<'a>(&'a self, names: &[&'static str]) -> Option<(&'static str, &'a str)> {
        names.iter().find_map(|name| Some((*name, self.get(name)?)))
    }

    /// Whether `name` says yes as Oracle's SDKs read it: `true` in any case.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    }

    /// The home folder: `HOME`. A service without one has no `~`.
    pub fn home(&self) -> Option<PathBuf> {
        let home = self.variables.get("HOME")?;
        (!home.is_empty()).then(|| PathBuf::from(home))
    }

    /// `path` with a leading `~` or `~/` replaced by the home folder; anything else unchanged.
    pub fn expand(&self, path: &str) -> PathBuf {
        let rest = match path.strip_prefix('~') {
            Some("") => "",
            Some(rest) if rest.starts_with('/') => rest.trim_start_matches('/'),
            _ => return PathBuf::from(path),
        };
        match self.home() {
            Some(home) if rest.is_empty() => home,
            Some(home) => home.join(Path::new(rest)),
            None => PathBuf::from(path),
        }
    }
}

impl<K: Into<String>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self { variables }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_only_a_leading_tilde() {
        let environment = Environment::from_iter([("HOME", "/home/op")]);
        assert_eq!(
            environment.expand("~/.oci/config"),
            Path::new("/home/op/.oci/config")
        );
        assert_eq!(environment.expand("~"), Path::new("/home/op"));
        assert_eq!(environment.expand("~other/x"), Path::new("~other/x"));
        assert_eq!(environment.expand("a/~/x"), Path::new("a/~/x"));
        assert_eq!(Environment::default().expand("~/x"), Path::new("~/x"));
    }

    #[test]
    fn an_empty_variable_is_none() {
        let environment = Environment::from_iter([("A", ""), ("B", "b")]);
        assert_eq!(environment.get("A"), None);
        assert_eq!(environment.first(&["A", "B"]), Some(("B", "b")));
    }

    #[test]
    fn debug_hides_values() {
        let environment = Environment::from_iter([("OCI_CLI_PASSPHRASE", "hunter2")]);
        assert_eq!(format!("{environment:?}"), r#"{"OCI_CLI_PASSPHRASE"}"#);
    }
}
