//! Secrets leave nothing of themselves in what is written: they are replaced by value.

use std::sync::{Arc, Mutex, PoisonError};

/// Shorter values are everywhere ("6432" is a port too): replacing them would garble the text and
/// say nothing.
const REDACT_CHARS_MIN: usize = 6;
const MARK: &str = "[redacted]";

/// Knows the values that must not be seen. Clones share them.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Arc<Mutex<Vec<String>>>,
}

impl Redactor {
    /// Learns a value.
    pub fn learn(&self, secret: &str) {
        if secret.len() < REDACT_CHARS_MIN {
            return;
        }
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if !secrets.iter().any(|known| known == secret) {
            secrets.push(secret.to_owned());
            // The longest first: one may be part of another.
            secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// The text without any known value.
    pub fn clean(&self, text: &str) -> String {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut clean = text.to_owned();
        for secret in secrets.iter() {
            if clean.contains(secret.as_str()) {
                clean = clean.replace(secret.as_str(), MARK);
            }
        }
        clean
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_replaced_wherever_it_stands_and_the_longer_one_first() {
        let redactor = Redactor::default();
        redactor.learn("abcdef");
        redactor.learn("abcdefgh");
        redactor.learn("6432");
        assert_eq!(
            redactor.clean("x=abcdefgh y=abcdef port 6432"),
            "x=[redacted] y=[redacted] port 6432"
        );
    }
}
