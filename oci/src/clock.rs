//! Clock skew: the cause that a 401 does not name.

use std::time::{Duration, SystemTime};

use crate::error::{Error, ErrorKind};

/// What OCI tolerates between the `date` of a request and its own clock ("Request Signatures").
const SKEW_MAX: Duration = Duration::from_secs(5 * 60);

/// Names the clock as the cause of a 401 where the answer's date shows it to be; else `otherwise`.
pub(crate) fn explain(error: Error, now: SystemTime, otherwise: &str) -> Error {
    let (ErrorKind::Unauthorized, Some(date)) = (error.kind(), error.date()) else {
        return error;
    };
    let (skew, direction) = match now.duration_since(date) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    if skew <= SKEW_MAX {
        return error.with_hint(format!("the clock is right: {otherwise}"));
    }
    let (skew, most) = (skew.as_secs(), SKEW_MAX.as_secs());
    error.with_hint(format!(
        "this host's clock is {skew} s {direction} the service's, which allows {most} s: set it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;
    use std::time::UNIX_EPOCH;

    fn explained(status: u16, now: u64) -> String {
        let date = Some(UNIX_EPOCH + Duration::from_secs(10_000));
        let error = Error::refused(Refusal {
            status,
            date,
            ..Refusal::default()
        });
        let error = explain(
            error,
            UNIX_EPOCH + Duration::from_secs(now),
            "look at the key",
        );
        error.hint().unwrap_or_default().to_owned()
    }

    #[test]
    fn t71_the_clock_is_blamed_when_it_is_wrong_and_only_then() {
        assert_eq!(
            explained(401, 10_300),
            "the clock is right: look at the key"
        );
        assert!(explained(401, 10_301).contains("301 s ahead of"));
        assert!(explained(401, 9_000).contains("1000 s behind"));
        assert_eq!(explained(404, 20_000), "");
    }
}
