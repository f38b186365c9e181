//! RSA private keys, from PEM to signature.

mod encrypted;
mod session;

use std::fmt;

use md5::{Digest as _, Md5};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{KeyPair as _, RSA_PKCS1_SHA256};

use crate::error::{Error, Result};
use crate::pem::{self, Block};

/// An RSA key of 2048 to 4096 bits that signs with PKCS #1 v1.5 and SHA-256.
pub struct PrivateKey {
    pair: KeyPair,
    random: SystemRandom,
}

impl PrivateKey {
    /// Reads a key from PEM: PKCS #1, PKCS #8, PKCS #8 under PBES2, or OpenSSL's older
    /// `Proc-Type: 4,ENCRYPTED`. Text around the block is ignored. A passphrase that is not needed
    /// is ignored too: a profile may inherit it from `DEFAULT`, and Oracle's SDK does the same.
    ///
    /// # Errors
    /// Kind `Credentials`, saying what the text is instead and never repeating any of it.
    pub fn from_pem(text: &str, passphrase: Option<&str>) -> Result<Self> {
        let blocks = pem::parse(text).map_err(|error| Error::credentials(error.to_string()))?;
        let is_key = |block: &&Block| block.label.ends_with("PRIVATE KEY");
        match blocks.iter().find(is_key).or(blocks.first()) {
            Some(block) => Self::from_block(block, passphrase),
            None => Err(Error::credentials(pem::PemError::NoBlock.to_string())),
        }
    }

    fn from_block(block: &Block, passphrase: Option<&str>) -> Result<Self> {
        let needed = || {
            passphrase.ok_or_else(|| {
                Error::credentials("the private key is encrypted, and no passphrase is given")
                    .with_hint("set pass_phrase beside key_file, or OCI_CLI_PASSPHRASE")
            })
        };
        match block.label.as_str() {
            "RSA PRIVATE KEY" if encrypted::is_legacy(block) => {
                let der = encrypted::open_legacy(block, needed()?)?;
                // Padding is right once in 256 times by chance: then this is what fails.
                Self::from_pkcs1(&der).map_err(|error| or_wrong_passphrase(error, &der))
            }
            "RSA PRIVATE KEY" => Self::from_pkcs1(&block.der),
            "PRIVATE KEY" => Self::from_pkcs8(&block.der),
            "ENCRYPTED PRIVATE KEY" => {
                let der = encrypted::open_pkcs8(&block.der, needed()?)?;
                Self::from_pkcs8(&der).map_err(|error| or_wrong_passphrase(error, &der))
            }
            other => Err(not_a_key(other)),
        }
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self> {
        KeyPair::from_der(der).map(Self::new).map_err(rejected)
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self> {
        KeyPair::from_pkcs8(der).map(Self::new).map_err(rejected)
    }

    fn new(pair: KeyPair) -> Self {
        Self {
            pair,
            random: SystemRandom::new(),
        }
    }

    /// Signs `message`: as many bytes as the key's modulus has.
    ///
    /// # Errors
    /// When the system has no randomness for blinding.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)
            .map_err(|_| Error::credentials("the private key failed to sign"))?;
        Ok(signature)
    }

    /// The public key as X.509 SubjectPublicKeyInfo DER.
    pub fn public_key_der(&self) -> Vec<u8> {
        subject_public_key_info(self.pair.public_key().as_ref())
    }

    /// The fingerprint that Oracle's console shows: MD5 of the public key's DER, in lower-case
    /// hex with colons.
    pub fn fingerprint(&self) -> String {
        colon_hex(&Md5::digest(self.public_key_der()))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

fn rejected(error: ring::error::KeyRejected) -> Error {
    let message = match error.to_string().as_str() {
        "TooSmall" => "the private key has fewer than 2048 bits".to_owned(),
        "TooLarge" => "the private key has more than 4096 bits".to_owned(),
        "WrongAlgorithm" => "the private key is no RSA key, which is what OCI takes".to_owned(),
        other => format!("the private key is malformed ({other})"),
    };
    Error::credentials(message)
}

fn or_wrong_passphrase(error: Error, der: &[u8]) -> Error {
    const SEQUENCE: u8 = 0x30;
    if der.first() == Some(&SEQUENCE) {
        error
    } else {
        encrypted::wrong_passphrase()
    }
}

fn not_a_key(label: &str) -> Error {
    match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => {
            Error::credentials("authentication requires a private key, but this is a public key")
        }
        "OPENSSH PRIVATE KEY" => Error::credentials("this is a key in OpenSSH's own format")
            .with_hint("convert a copy with: ssh-keygen -p -m PEM -f COPY"),
        "EC PRIVATE KEY" => {
            Error::credentials("the private key is no RSA key, which is what OCI takes")
        }
        other => Error::credentials(format!("this is no private key but a PEM block {other:?}")),
    }
}

/// `bytes` in lower-case hex, with a colon between two.
pub(crate) fn colon_hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

/// Wraps an RSAPublicKey (RFC 8017) as SubjectPublicKeyInfo (RFC 5280, algorithm RFC 3279).
fn subject_public_key_info(rsa_public_key: &[u8]) -> Vec<u8> {
    // SEQUENCE { OID rsaEncryption 1.2.840.113549.1.1.1, NULL }
    const ALGORITHM: [u8; 15] = [
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ];
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    let mut bits = vec![0]; // no unused bits
    bits.extend_from_slice(rsa_public_key);
    let mut inner = ALGORITHM.to_vec();
    inner.extend(der_value(BIT_STRING, &bits));
    der_value(SEQUENCE, &inner)
}

fn der_value(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut der = vec![tag];
    match contents.len() {
        short @ 0..=127 => der.push(short as u8),
        _ => {
            der.push(0x80 | significant.len() as u8);
            der.extend(significant);
        }
    }
    der.extend_from_slice(contents);
    der
}
