//! Tokens and keys that another program keeps in files and replaces from time to time.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::signer::Signer;

/// A signer whose name is a token.
#[derive(Clone, Debug)]
pub(crate) struct TokenSigner {
    pub signer: Signer,
    pub expires: SystemTime,
}

type Load = dyn Fn() -> Result<TokenSigner> + Send + Sync;

/// A [`TokenSigner`] made from files, and made again when one of them has changed.
pub(crate) struct Reloading {
    paths: Vec<PathBuf>,
    load: Box<Load>,
    /// What to do when the token has run out, for the error.
    renew: &'static str,
    state: Mutex<State>,
}

struct State {
    stamp: Stamp,
    current: TokenSigner,
}

/// What tells that a file was replaced or written: inode, length, modification time.
type Stamp = Vec<Option<(u64, u64, i64, i64)>>;

fn stamp(paths: &[PathBuf]) -> Stamp {
    let of = |path: &Path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
    };
    paths.iter().map(|path| of(path)).collect()
}

impl Reloading {
    /// Loads for the first time. `paths` are the files that `load` reads.
    pub(crate) fn new(
        paths: Vec<PathBuf>,
        renew: &'static str,
        load: impl Fn() -> Result<TokenSigner> + Send + Sync + 'static,
    ) -> Result<Self> {
        // Stamped before reading: what changes meanwhile is read again, not missed.
        let stamp = stamp(&paths);
        let current = load()?;
        Ok(Self {
            paths,
            load: Box::new(load),
            renew,
            state: Mutex::new(State { stamp, current }),
        })
    }

    /// The present signer; the files are looked at, and read when they have changed.
    ///
    /// # Errors
    /// When the token has run out, and the files hold no better one.
    pub(crate) fn signer(&self, now: SystemTime) -> Result<Signer> {
        let mut state = self.state();
        let seen = stamp(&self.paths);
        let failure = if seen == state.stamp {
            None
        } else {
            self.reload(&mut state, seen).err()
        };
        if state.current.expires > now {
            // Files caught half replaced are read again next time: the old token still works.
            return Ok(state.current.signer.clone());
        }
        let expired = httpdate::fmt_http_date(state.current.expires);
        let error = failure.map_or_else(
            || Error::credentials(format!("the security token ran out on {expired}")),
            |error| error.while_doing(format!("the security token ran out on {expired}")),
        );
        Err(error.with_hint(self.renew))
    }

    /// Reads the files whether they look changed or not; for a token that was refused.
    pub(crate) fn refresh(&self) -> Result<Signer> {
        let mut state = self.state();
        self.reload(&mut state, stamp(&self.paths))?;
        Ok(state.current.signer.clone())
    }

    pub(crate) fn expires(&self) -> SystemTime {
        self.state().current.expires
    }

    fn reload(&self, state: &mut State, seen: Stamp) -> Result<()> {
        state.current = (self.load)()?;
        state.stamp = seen;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every assignment above is whole: a panicking thread leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Reloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}
