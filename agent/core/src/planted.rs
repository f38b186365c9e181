//! Bugs planted on purpose, to see that the simulator finds them. They exist in builds with the
//! feature `planted` only, which this crate's own tests turn on, and stay asleep until asked for.

/// A mistake that log shippers have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// An acknowledgement commits although an older batch is still under way.
    CommitPastHole,
    /// A batch that the service could not take is not sent again.
    ForgetRetry,
    /// A file is what its inode was.
    InodeIsIdentity,
    /// Both streams of a file have one offset.
    OneOffset,
    /// A file is what it begins with, be it only a piece of a line.
    HeadIsIdentity,
    /// What is held of a line counts as shipped.
    CommitInsideGroup,
    /// A batch counts as safe before the spool has it.
    SpoolEarly,
    /// All in front of what the spool has counts as shipped.
    CoverHole,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::CommitPastHole,
        Self::ForgetRetry,
        Self::InodeIsIdentity,
        Self::OneOffset,
        Self::HeadIsIdentity,
        Self::CommitInsideGroup,
        Self::SpoolEarly,
        Self::CoverHole,
    ];

    #[cfg(feature = "planted")]
    pub(crate) fn is_planted(self) -> bool {
        PLANTED.get() == Some(self)
    }

    #[cfg(not(feature = "planted"))]
    #[inline]
    pub(crate) const fn is_planted(self) -> bool {
        false
    }
}

#[cfg(feature = "planted")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// From now on, and in this thread, the core makes this mistake.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}
