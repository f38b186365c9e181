//! Security tokens: JWTs that Oracle Cloud takes as the name of a key.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// A token with the claims that matter here. `Debug` shows when it ends and nothing else.
pub(crate) struct Token {
    text: Zeroizing<String>,
    expires: Duration,
    issued: Option<Duration>,
}

/// Times in seconds since the epoch; some issuers write them with a fraction.
#[derive(Deserialize)]
struct Claims {
    exp: f64,
    iat: Option<f64>,
}

impl Token {
    /// Reads the claims. The signature is for the service to check.
    ///
    /// # Errors
    /// When the text is no JWT or has no `exp`; the text is not repeated.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let claims = claims(text).ok_or_else(|| {
            Error::credentials("the security token is no JWT with an expiry: cut off, or not one")
        })?;
        let time = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
        let expires = time(claims.exp)
            .ok_or_else(|| Error::credentials("the security token's expiry is no time"))?;
        let issued = claims.iat.and_then(time);
        Ok(Self {
            text: Zeroizing::new(text.to_owned()),
            expires,
            issued,
        })
    }

    /// The key id that requests are signed with: `ST$` and the token.
    pub(crate) fn key_id(&self) -> Zeroizing<String> {
        Zeroizing::new(["ST$", self.text.as_str()].concat())
    }

    pub(crate) fn expires(&self) -> SystemTime {
        UNIX_EPOCH.checked_add(self.expires).unwrap_or(UNIX_EPOCH)
    }

    /// How long the token lives from `now` by the issuer's clock: the answer's `Date` where there
    /// is one, else its `iat`. This host's own clock may be wrong by minutes.
    pub(crate) fn lifetime(&self, date: Option<SystemTime>) -> Option<Duration> {
        let date = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
        Some(self.expires.saturating_sub(date.or(self.issued)?))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Token(until {})",
            httpdate::fmt_http_date(self.expires())
        )
    }
}

fn claims(text: &str) -> Option<Claims> {
    let mut parts = text.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
    serde_json::from_slice(&payload).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A JWT with this payload; nothing here looks at header or signature.
    pub(crate) fn jwt(payload: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        [part(r#"{"alg":"RS256"}"#), part(payload), part("signature")].join(".")
    }

    #[test]
    fn reads_the_expiry_and_trims_what_editors_append() {
        let token = Token::parse(&(jwt(r#"{"exp":2000,"iat":500}"#) + "\r\n")).unwrap();
        assert_eq!(token.expires(), UNIX_EPOCH + Duration::from_secs(2000));
        assert!(token.key_id().starts_with("ST$ey") && !token.key_id().ends_with('\n'));
        assert!(!format!("{token:?}").contains("ey"));
    }

    #[test]
    fn lifetime_is_counted_by_the_issuers_clock() {
        let token = Token::parse(&jwt(r#"{"exp":2000.5,"iat":500}"#)).unwrap();
        let date = UNIX_EPOCH + Duration::from_secs(1400);
        assert_eq!(
            token.lifetime(Some(date)),
            Some(Duration::from_millis(600_500))
        );
        assert_eq!(token.lifetime(None), Some(Duration::from_millis(1_500_500)));
        let late = UNIX_EPOCH + Duration::from_secs(3000);
        assert_eq!(token.lifetime(Some(late)), Some(Duration::ZERO));
        let token = Token::parse(&jwt(r#"{"exp":2000}"#)).unwrap();
        assert_eq!(token.lifetime(None), None);
    }

    #[test]
    fn what_is_no_token_is_refused_unrepeated() {
        let cases = [
            "",
            "secret",
            "a.b.c",
            "a.b",
            &jwt("{}"),
            &jwt(r#"{"exp":"secret"}"#),
        ];
        for text in cases.into_iter().chain([jwt(r#"{"exp":-1}"#).as_str()]) {
            let error = Token::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        Token::parse(&(jwt(r#"{"exp":1}"#) + ".x")).unwrap_err();
    }
}
