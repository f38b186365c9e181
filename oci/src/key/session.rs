//! Making a fresh RSA key, which ring cannot.

use getrandom::SysRng;
use rsa::pkcs1::EncodeRsaPrivateKey as _;

use super::PrivateKey;
use crate::error::{Error, Result};

/// What Oracle's SDKs use for session keys.
const BITS: usize = 2048;

impl PrivateKey {
    /// Makes a 2048-bit key. Takes a fraction of a second of CPU: not on an async thread.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self> {
        let fail = |_| Error::credentials("making a session key failed");
        let key = rsa::PrivateKey::new(&mut SysRng, BITS).map_err(fail)?;
        let der = key
            .to_pkcs1_der()
            .map_err(|_| Error::credentials("encoding a session key failed"))?
            .to_bytes();
        Self::from_pkcs1(&der)
    }
}
