//! What is wrong with the secrets of platform.env, said without showing one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::environment::{Environment, is_secret};

/// Under this a password can be guessed off line.
const CHARS_MIN: usize = 16;
const PORTS: [&str; 3] = ["5432", "6379", "6432"];
const PLACEHOLDERS: [&str; 6] = [
    "REPLACE_",
    "changeme",
    "change_me",
    "placeholder",
    "example",
    "<",
];
/// What no shell, connection string or file of ours takes for more than itself.
const SAFE: &str = "_-";

/// What can be wrong with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Not set, or empty.
    Empty,
    /// Fewer than 16 characters.
    Short,
    /// Digits only.
    Numeric,
    /// A port number of the platform.
    EqualsPort,
    /// The name of a user or database.
    EqualsName,
    /// Never filled in.
    Placeholder,
    /// The same as another key's.
    Duplicate,
    /// Holds a character that shells, URLs or Compose take for more than itself.
    UnsafeCharacter,
    /// Compose changes it: it holds a variable.
    Interpolated,
}

impl Fault {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Empty => "is empty",
            Self::Short => "has fewer than 16 characters",
            Self::Numeric => "is digits only",
            Self::EqualsPort => "is a port of the platform",
            Self::EqualsName => "is the name of a user or database",
            Self::Placeholder => "was never filled in",
            Self::Duplicate => "is the same as another key's",
            Self::UnsafeCharacter => {
                "holds a character that shells, URLs or Compose take for more than itself"
            }
            Self::Interpolated => "holds a $ that Compose replaces",
        }
    }
}

/// The faults by key.
pub fn faults(environment: &Environment) -> BTreeMap<String, Vec<Fault>> {
    let secrets: Vec<(&String, &String)> = environment
        .values()
        .iter()
        .filter(|(key, _)| is_secret(key))
        .collect();
    let mut names: Vec<String> = Vec::new();
    for (key, value) in environment.values() {
        if key.ends_with("_USER") || key.ends_with("_NAME") || key.ends_with("_DB") {
            names.push(value.to_lowercase());
        }
        if let Some(name) = key.strip_suffix("_DB_PASSWORD") {
            names.extend([format!("{}_user", name.to_lowercase()), name.to_lowercase()]);
        }
    }
    let mut found = BTreeMap::new();
    for (key, value) in &secrets {
        let mut faults = faults_of(value, &names);
        // A key that only refers to another one is no second use of the secret.
        let refers = |key: &str| {
            environment
                .entries()
                .iter()
                .rfind(|entry| entry.key == key)
                .is_some_and(|entry| is_reference(entry.literal.as_deref()))
        };
        let twin =
            |(other, same): &&(&String, &String)| other != key && same == value && !refers(other);
        if !value.is_empty() && !refers(key) && secrets.iter().any(|pair| twin(&pair)) {
            faults.push(Fault::Duplicate);
        }
        let literal = environment
            .entries()
            .iter()
            .rfind(|entry| entry.key == **key)
            .and_then(|entry| entry.literal.as_deref());
        if literal.is_some() && !is_reference(literal) {
            faults.push(Fault::Interpolated);
        }
        if !faults.is_empty() {
            found.insert((*key).clone(), faults);
        }
    }
    found
}

/// Whether a value is nothing but one variable.
fn is_reference(literal: Option<&str>) -> bool {
    let name = literal.and_then(|literal| literal.strip_prefix("${")?.strip_suffix('}'));
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn faults_of(value: &str, names: &[String]) -> Vec<Fault> {
    if value.is_empty() {
        return vec![Fault::Empty];
    }
    let lower = value.to_lowercase();
    let tests = [
        (Fault::Short, value.chars().count() < CHARS_MIN),
        (Fault::Numeric, value.chars().all(|c| c.is_ascii_digit())),
        (Fault::EqualsPort, PORTS.contains(&value)),
        (Fault::EqualsName, names.contains(&lower)),
        (
            Fault::Placeholder,
            PLACEHOLDERS
                .iter()
                .any(|word| lower.contains(&word.to_lowercase())),
        ),
        (
            Fault::UnsafeCharacter,
            !value
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || SAFE.contains(c)),
        ),
    ];
    tests
        .into_iter()
        .filter(|(_, is)| *is)
        .map(|(fault, _)| fault)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn faults_in(text: &str, key: &str) -> Vec<Fault> {
        faults(&Environment::parse(text).unwrap())
            .remove(key)
            .unwrap_or_default()
    }

    #[test]
    fn the_manuals_workaround_trips_three_rules_alone_and_a_fourth_when_used_twice() {
        let text = "TRADING_APP_DB_PASSWORD=6432\nOTHER_PASSWORD=6432\n";
        let wanted = [
            Fault::Short,
            Fault::Numeric,
            Fault::EqualsPort,
            Fault::Duplicate,
        ];
        assert_eq!(faults_in(text, "TRADING_APP_DB_PASSWORD"), wanted);
    }

    #[test]
    fn a_reference_is_no_second_use() {
        let text = "DB_PASSWORD=abcdefghij0123456789\nPOSTGRES_PASSWORD=${DB_PASSWORD}\n";
        assert!(faults(&Environment::parse(text).unwrap()).is_empty());
    }

    #[test]
    fn each_rule_finds_its_own() {
        assert_eq!(faults_in("A_TOKEN=\n", "A_TOKEN"), [Fault::Empty]);
        assert_eq!(
            faults_in("A_SECRET=REPLACE_WITH_A_SECRET\n", "A_SECRET"),
            [Fault::Placeholder]
        );
        assert_eq!(
            faults_in("A_SECRET='abcdefghij0123456789$x'\n", "A_SECRET"),
            [Fault::UnsafeCharacter]
        );
        assert_eq!(
            faults_in("A_SECRET=abcdefghij0123456789$x\n", "A_SECRET"),
            [Fault::Interpolated]
        );
        assert_eq!(
            faults_in(
                "TRADING_APPLICATION_DB_PASSWORD=trading_application_user\n",
                "TRADING_APPLICATION_DB_PASSWORD"
            ),
            [Fault::EqualsName]
        );
    }
}
