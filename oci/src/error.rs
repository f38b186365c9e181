//! What went wrong with a request, and whether sending it again can help.

use std::fmt;
use std::time::{Duration, SystemTime};

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of an [`Error`]: what a caller decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No connection: name not resolved, refused, unreachable, TLS handshake failed.
    Connect,
    /// The connect or request timeout passed (or the service answered 408). The request may have
    /// been carried out.
    Timeout,
    /// The connection broke after the request was begun. The request may have been carried out.
    Io,
    /// 400: this body or parameter is wrong and stays wrong.
    BadRequest,
    /// 401: signature, key, token or clock refused.
    Unauthorized,
    /// 403: known, but not allowed.
    Forbidden,
    /// 404: absent, or hidden for lack of a policy. OCI does not tell the two apart.
    NotFound,
    /// 409: the resource is in another state; only some codes are worth a retry.
    Conflict,
    /// 412: `if-match` or `if-none-match` does not hold; with `if-none-match: *` the object is there.
    Precondition,
    /// 413: the body is larger than the service takes.
    TooLarge,
    /// 429: the service asks for less.
    Throttled,
    /// 5xx.
    Server,
    /// Bytes arrived that are not those that were sent: a checksum or length differs.
    Corrupt,
    /// The object lies in the Archive tier and has to be restored by Oracle before it can be read.
    Archived,
    /// A status or answer that the operation's page does not name.
    Unexpected,
    /// Wrong or missing configuration, found before anything was sent.
    Config,
    /// Credentials that cannot be read, are malformed, or have run out.
    Credentials,
}

impl ErrorKind {
    /// The kind that an HTTP status outside of success stands for.
    pub fn from_status(status: u16) -> Self {
        match status {
            400 => Self::BadRequest,
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            408 => Self::Timeout,
            409 => Self::Conflict,
            412 => Self::Precondition,
            413 => Self::TooLarge,
            429 => Self::Throttled,
            500..=599 => Self::Server,
            _ => Self::Unexpected,
        }
    }
}

/// A failed operation, with everything that Oracle's support asks for.
///
/// Neither `Display` nor `Debug` shows a key, a token, a passphrase or an `authorization` header.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    status: Option<u16>,
    code: Option<String>,
    opc_request_id: Option<String>,
    endpoint: Option<String>,
    retry_after: Option<Duration>,
    date: Option<SystemTime>,
    hint: Option<String>,
}

/// The parts of an answer that is not a success.
#[derive(Debug, Default)]
pub(crate) struct Refusal {
    pub status: u16,
    pub code: Option<String>,
    pub message: String,
    pub opc_request_id: Option<String>,
    pub retry_after: Option<Duration>,
    pub date: Option<SystemTime>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            status: None,
            code: None,
            opc_request_id: None,
            endpoint: None,
            retry_after: None,
            date: None,
            hint: None,
        }))
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    pub(crate) fn credentials(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Credentials, message)
    }

    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self(Box::new(Inner {
            kind: ErrorKind::from_status(refusal.status),
            message: refusal.message,
            status: Some(refusal.status),
            code: refusal.code,
            opc_request_id: refusal.opc_request_id,
            endpoint: None,
            retry_after: refusal.retry_after,
            date: refusal.date,
            hint: None,
        }))
    }

    /// Puts words before the message: what was being done.
    pub(crate) fn while_doing(mut self, doing: impl fmt::Display) -> Self {
        self.0.message = format!("{doing}: {}", self.0.message);
        self
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Says how often it was tried.
    pub(crate) fn after_attempts(mut self, attempts: u32) -> Self {
        if attempts > 1 {
            self.0.message = format!("{} (tried {attempts} times)", self.0.message);
        }
        self
    }

    pub(crate) fn at_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.0.endpoint = Some(endpoint.into());
        self
    }

    pub(crate) fn with_request_id(mut self, sent: &str) -> Self {
        self.0.opc_request_id.get_or_insert_with(|| sent.to_owned());
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// What a caller decides on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The HTTP status, when the service answered.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// OCI's error code, such as `NotAuthenticated`. Not a stable contract: decide on the kind.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The service's message, or our own where there was no answer.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The service's `opc-request-id`, or the one that was sent when no answer came.
    pub fn opc_request_id(&self) -> Option<&str> {
        self.0.opc_request_id.as_deref()
    }

    /// The method and URL that was asked, when a request was made.
    pub fn endpoint(&self) -> Option<&str> {
        self.0.endpoint.as_deref()
    }

    /// The wait that the service asked for, when it did. Oracle documents no `Retry-After`; a
    /// proxy or load balancer may still send one.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The service's `Date`, to measure clock skew with.
    pub fn date(&self) -> Option<SystemTime> {
        self.0.date
    }

    /// What an operator can do about it, when that is known.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Whether the same request, signed afresh, can succeed with nobody doing anything.
    ///
    /// As Oracle's SDKs decide it (`oci.retry.DEFAULT_RETRY_STRATEGY`): broken connections,
    /// timeouts, 409 `IncorrectState` and `LockConflict`, every 429, every 5xx but 501. And as
    /// their upload manager: 409 `ConcurrentObjectUpdate`. And what was damaged on its way.
    pub fn is_retryable(&self) -> bool {
        match self.0.kind {
            ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::Io | ErrorKind::Throttled => true,
            ErrorKind::Corrupt => true,
            // Damaged on its way: UnmatchedContentMD5, UnmatchedContentSHA256.
            ErrorKind::BadRequest => {
                let code = self.0.code.as_deref().unwrap_or_default();
                code.starts_with("UnmatchedContent")
            }
            ErrorKind::Server => self.0.status != Some(501),
            ErrorKind::Conflict => {
                matches!(
                    self.0.code.as_deref(),
                    Some("IncorrectState" | "LockConflict" | "ConcurrentObjectUpdate")
                )
            }
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(endpoint) = &inner.endpoint {
            write!(f, "{endpoint}: ")?;
        }
        if let Some(status) = inner.status {
            write!(f, "{status}")?;
            if let Some(code) = &inner.code {
                write!(f, " {code}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&inner.message)?;
        if let Some(id) = &inner.opc_request_id {
            write!(f, " (opc-request-id {id})")?;
        }
        if let Some(hint) = &inner.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> Error {
        Error::refused(Refusal {
            status,
            code: Some(code.to_owned()),
            message: "no".to_owned(),
            opc_request_id: Some("ABC/DEF".to_owned()),
            ..Refusal::default()
        })
    }

    #[test]
    fn retries_what_oracles_sdk_retries() {
        let retried = [
            (408, ""),
            (409, "IncorrectState"),
            (409, "LockConflict"),
            (429, ""),
        ];
        let retried = retried
            .into_iter()
            .chain([500, 502, 503, 504].map(|status| (status, "")));
        for (status, code) in retried {
            assert!(refused(status, code).is_retryable(), "{status} {code}");
        }
        let final_ones = [400, 401, 403, 404, 409, 412, 413, 418, 501, 302];
        for status in final_ones {
            assert!(!refused(status, "Conflict").is_retryable(), "{status}");
        }
        assert!(Error::new(ErrorKind::Connect, "refused").is_retryable());
        assert!(!Error::config("no profile").is_retryable());
        assert!(!Error::credentials("no key").is_retryable());
    }

    #[test]
    fn shows_all_that_support_asks_for() {
        let shown = refused(404, "NotAuthorizedOrNotFound")
            .at_endpoint("POST https://host/path")
            .with_request_id("sent")
            .with_hint("add a policy")
            .to_string();
        assert_eq!(
            shown,
            "POST https://host/path: 404 NotAuthorizedOrNotFound: no (opc-request-id ABC/DEF); \
             add a policy"
        );
    }

    #[test]
    fn shows_the_sent_id_when_nothing_was_answered() {
        let error = Error::new(ErrorKind::Timeout, "no answer within 60s").with_request_id("sent");
        assert_eq!(error.opc_request_id(), Some("sent"));
        assert_eq!(error.status(), None);
    }
}
