//! Secrets made here.

use anyhow::Context as _;

/// 32 of 62 characters: 190 bits.
const SECRET_CHARS: usize = 32;
/// Nothing that a shell, Compose, a connection string or a file of ours would take for more than
/// itself.
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A new random secret.
///
/// # Errors
/// When the system gives no random bytes.
pub fn generate() -> anyhow::Result<String> {
    let mut secret = String::with_capacity(SECRET_CHARS);
    while secret.len() < SECRET_CHARS {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes)
            .map_err(std::io::Error::other)
            .context("make a secret")?;
        // 248 is the largest multiple of 62 in a byte: what lies above would favour some characters.
        let chars = bytes.iter().filter(|byte| **byte < 248);
        let chars = chars.map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
        secret.extend(chars.take(SECRET_CHARS - secret.len()));
    }
    Ok(secret)
}
