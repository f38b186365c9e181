//! RSA private keys, from PEM to signature.

use std::fmt;

use md5::{Digest as _, Md5};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{KeyPair as _, RSA_PKCS1_SHA256};

use crate::error::{Error, Result};
use crate::pem;

/// An RSA key of 2048 to 4096 bits that signs with PKCS #1 v1.5 and SHA-256.
pub struct PrivateKey {
    pair: KeyPair,
    random: SystemRandom,
}

impl PrivateKey {
    /// Reads an unencrypted PKCS #1 or PKCS #8 key from PEM.
    ///
    /// # Errors
    /// Kind `Credentials`, saying what the text is instead.
    pub fn from_pem(text: &str, passphrase: Option<&str>) -> Result<Self> {
        let _ = passphrase;
        let blocks = pem::parse(text).map_err(|error| Error::credentials(error.to_string()))?;
        let block = blocks
            .iter()
            .find(|block| block.label.ends_with("PRIVATE KEY"))
            .or(blocks.first())
            .ok_or_else(|| Error::credentials("no PEM block"))?;
        match block.label.as_str() {
            "RSA PRIVATE KEY" => Self::from_pkcs1(&block.der),
            "PRIVATE KEY" => Self::from_pkcs8(&block.der),
            other => Err(Error::credentials(format!("not a private key: {other}"))),
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
    Error::credentials(format!("the private key is not usable: {error}"))
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
