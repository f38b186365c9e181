//! Opening encrypted private keys: PKCS #8 with PBES2, and OpenSSL's older PEM encryption.

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, KeyInit};
use des::TdesEde3;
use md5::{Digest as _, Md5};
use pkcs8::EncryptedPrivateKeyInfoRef;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::pem::Block;

const REENCRYPT: &str = "re-encrypt it with: openssl pkcs8 -topk8 -v2 aes256 -in OLD -out NEW";
/// OpenSSL uses the first eight bytes of the initialisation vector as salt.
const SALT_BYTES: usize = 8;

/// The kinds of errors that a wrong passphrase gives; a padding may be right by chance.
pub(super) fn wrong_passphrase() -> Error {
    Error::credentials("the passphrase does not open this private key")
}

/// Opens an `ENCRYPTED PRIVATE KEY`: the DER of a PKCS #8 key.
pub(super) fn open_pkcs8(der: &[u8], passphrase: &str) -> Result<Zeroizing<Vec<u8>>> {
    let info = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| unsupported())?;
    if info.encryption_algorithm.pbes2().is_none() {
        return Err(unsupported());
    }
    let document = info.decrypt(passphrase).map_err(|_| wrong_passphrase())?;
    Ok(document.to_bytes())
}

fn unsupported() -> Error {
    Error::credentials("the private key is encrypted in a way other than PBES2")
        .with_hint(REENCRYPT)
}

/// Whether a block has OpenSSL's `Proc-Type: 4,ENCRYPTED` (RFC 1421).
pub(super) fn is_legacy(block: &Block) -> bool {
    header(block, "Proc-Type").is_some_and(|value| value.ends_with("ENCRYPTED"))
}

/// Opens a block with `Proc-Type: 4,ENCRYPTED`: the DER of a PKCS #1 key.
pub(super) fn open_legacy(block: &Block, passphrase: &str) -> Result<Zeroizing<Vec<u8>>> {
    let info = header(block, "DEK-Info").unwrap_or_default();
    let (cipher, iv) = info.split_once(',').unwrap_or((info, ""));
    let iv = unhex(iv.trim()).ok_or_else(|| malformed(info))?;
    let salt = iv.get(..SALT_BYTES).ok_or_else(|| malformed(info))?;
    let key = |bytes| derive(passphrase.as_bytes(), salt, bytes);
    match cipher.trim() {
        "AES-128-CBC" => decrypt::<Aes128>(&key(16), &iv, &block.der),
        "AES-192-CBC" => decrypt::<Aes192>(&key(24), &iv, &block.der),
        "AES-256-CBC" => decrypt::<Aes256>(&key(32), &iv, &block.der),
        "DES-EDE3-CBC" => decrypt::<TdesEde3>(&key(24), &iv, &block.der),
        other => Err(
            Error::credentials(format!("the private key is encrypted with {other:?}"))
                .with_hint(REENCRYPT),
        ),
    }
}

fn header<'a>(block: &'a Block, name: &str) -> Option<&'a str> {
    let found = block
        .headers
        .iter()
        .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

fn malformed(info: &str) -> Error {
    Error::credentials(format!("the PEM header DEK-Info {info:?} is malformed"))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| Some((digit(pair[0])? << 4 | digit(*pair.get(1)?)?) as u8);
    text.as_bytes().chunks(2).map(pair).collect()
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one round: D1 = MD5(pass ‖ salt), D2 = MD5(D1 ‖ pass ‖
/// salt), and so on, cut to `bytes`.
fn derive(passphrase: &[u8], salt: &[u8], bytes: usize) -> Zeroizing<Vec<u8>> {
    // Reserved whole: a growing vector would leave copies of the key behind.
    let mut key = Zeroizing::new(Vec::with_capacity(bytes + 16));
    let mut previous: Option<[u8; 16]> = None;
    while key.len() < bytes {
        let mut md5 = Md5::new();
        if let Some(previous) = previous {
            md5.update(previous);
        }
        md5.update(passphrase);
        md5.update(salt);
        let digest: [u8; 16] = md5.finalize().into();
        key.extend_from_slice(&digest);
        previous = Some(digest);
    }
    key.truncate(bytes);
    key
}

fn decrypt<C: BlockCipherDecrypt + KeyInit>(
    key: &[u8],
    iv: &[u8],
    contents: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let cipher = C::new_from_slice(key).map_err(|_| wrong_passphrase())?;
    let decryptor = cbc::Decryptor::inner_iv_slice_init(cipher, iv)
        .map_err(|_| Error::credentials("the PEM header DEK-Info has an IV of a wrong length"))?;
    let mut buffer = Zeroizing::new(contents.to_vec());
    let opened = decryptor
        .decrypt_padded::<Pkcs7>(&mut buffer)
        .map_err(|_| wrong_passphrase())?;
    Ok(Zeroizing::new(opened.to_vec()))
}
