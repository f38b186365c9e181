//! Errors that an operator can act upon: what failed, why, and what to try.
//!
//! Ordinary errors are `anyhow`; a [`Failure`] anywhere in the chain decides the exit code and
//! brings the hint.

use crate::exit::Exit;

/// An expected failure.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    what: String,
    exit: Exit,
    hint: Option<String>,
}

impl Failure {
    /// Says `what` failed and how the program ends for it.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            exit,
            hint: None,
        }
    }

    /// A check before the start refused: nothing was changed.
    pub fn refused(what: impl Into<String>) -> Self {
        Self::new(Exit::REFUSED, what)
    }

    /// Wrong usage or configuration.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::USAGE, what)
    }

    /// Adds the command or act that helps.
    #[must_use]
    pub fn try_next(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// How the program ends.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What to try.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// The [`Failure`] in a chain of errors, if there is one.
pub fn of(error: &anyhow::Error) -> Option<&Failure> {
    error
        .downcast_ref()
        .or_else(|| error.chain().find_map(|cause| cause.downcast_ref()))
}

/// The exit code that an error stands for.
pub fn exit(error: &anyhow::Error) -> Exit {
    of(error).map_or(Exit::FAILED, Failure::exit)
}
