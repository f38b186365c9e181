//! Where a service answers: scheme, host and port.

use std::fmt;

use url::{Position, Url};

use crate::error::{Error, Result};
use crate::region::Region;

/// A service of Oracle Cloud, by the template of its host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Service {
    /// `ingestion.logging.{region}.oci.{domain}`: PutLogs.
    LoggingIngestion,
    /// `logging.{region}.oci.{domain}`: SearchLogs.
    LoggingSearch,
    /// `objectstorage.{region}.{domain}`.
    ObjectStorage,
    /// `auth.{region}.{domain}`: federation.
    Auth,
}

/// The base of a service's URLs: `scheme://host[:port]`, no path.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: Url,
}

impl Endpoint {
    /// The public endpoint of `service` in `region`, over https.
    ///
    /// A region that is itself a domain (`foo.bar.com`) is put after the service's name alone.
    ///
    /// # Errors
    /// When the parts do not make a host name.
    pub fn of(service: Service, region: &Region) -> Result<Self> {
        let (name, after_region) = match service {
            Service::LoggingIngestion => ("ingestion.logging", ".oci"),
            Service::LoggingSearch => ("logging", ".oci"),
            Service::ObjectStorage => ("objectstorage", ""),
            Service::Auth => ("auth", ""),
        };
        let domain = region.domain();
        if region.id() == domain {
            return Self::parse(&format!("https://{name}.{domain}"));
        }
        Self::parse(&format!(
            "https://{name}.{}{after_region}.{domain}",
            region.id()
        ))
    }

    /// An explicit endpoint: `http` or `https`, a host, an optional port; no path, query or user.
    ///
    /// # Errors
    /// When it is anything else; the text is not repeated if it holds a user or password.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let url = Url::parse(text)
            .map_err(|error| Error::config(format!("endpoint is not a URL: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::config(
                "endpoint must not hold a user name or password",
            ));
        }
        let refuse = |what: &str| Err(Error::config(format!("endpoint {text:?} {what}")));
        if !matches!(url.scheme(), "http" | "https") {
            return refuse("must begin with http:// or https://");
        }
        if url.host_str().is_none_or(str::is_empty) {
            return refuse("has no host");
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return refuse("must end after the host and port");
        }
        Ok(Self { url })
    }

    /// The URL of `target`: an encoded path that begins with `/`, and an optional query.
    pub(crate) fn join(&self, target: &str) -> Result<Url> {
        let base = self.url.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}{target}"))
            .map_err(|error| Error::config(format!("{base}{target} is not a URL: {error}")))?;
        // A URL parser resolves `..` and re-encodes: what is signed must be what is sent.
        if request_target(&url) != target {
            return Err(Error::config(format!(
                "{target:?} is not a normal path and query"
            )));
        }
        Ok(url)
    }

    /// Whether requests go over TLS.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The host, without a port; an IPv6 address has its brackets.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

/// The request line's target for `url`: path and query, byte for byte.
pub(crate) fn request_target(url: &Url) -> &str {
    &url[Position::BeforePath..Position::AfterQuery]
}

/// The `host` header for `url`: with the port when the URL names one that is not the scheme's own.
pub(crate) fn host_header(url: &Url) -> String {
    url[Position::BeforeHost..Position::AfterPort].to_owned()
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::environment::Environment;

    fn of(service: Service, region: &str) -> String {
        let region = Region::resolve(region, &Environment::default()).unwrap();
        Endpoint::of(service, &region).unwrap().to_string()
    }

    /// What the Python SDK 2.189.0 makes of the same regions.
    #[test]
    fn endpoints_are_those_of_oracles_sdk() {
        use Service::{Auth, LoggingIngestion, ObjectStorage};
        let cases = [
            (
                LoggingIngestion,
                "phx",
                "https://ingestion.logging.us-phoenix-1.oci.oraclecloud.com",
            ),
            (
                ObjectStorage,
                "phx",
                "https://objectstorage.us-phoenix-1.oraclecloud.com",
            ),
            (
                Auth,
                "eu-frankfurt-2",
                "https://auth.eu-frankfurt-2.oraclecloud.eu",
            ),
            (
                LoggingIngestion,
                "us-langley-1",
                "https://ingestion.logging.us-langley-1.oci.oraclegovcloud.com",
            ),
            (
                LoggingIngestion,
                "xx-mars-1",
                "https://ingestion.logging.xx-mars-1.oci.oraclecloud.com",
            ),
            (
                ObjectStorage,
                "foo.bar.com",
                "https://objectstorage.foo.bar.com",
            ),
        ];
        for (service, region, expected) in cases {
            assert_eq!(of(service, region), expected);
        }
    }

    #[test]
    fn explicit_endpoints_are_a_scheme_a_host_and_a_port() {
        for good in [
            "http://127.0.0.1:8099",
            "https://[::1]:1",
            "https://host",
            "http://h:80/",
        ] {
            Endpoint::parse(good).unwrap();
        }
        for bad in [
            "",
            "host:1",
            "ftp://h",
            "http://h/x",
            "http://h?q",
            "http://h#f",
            "http://",
        ] {
            Endpoint::parse(bad).unwrap_err();
        }
        let error = Endpoint::parse("http://me:hunter2@h").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn a_target_that_would_be_changed_on_the_way_is_refused() {
        let endpoint = Endpoint::parse("http://127.0.0.1:8099").unwrap();
        let good = "/n/ns/b/b/o/a%2Fb%20c~%C3%A9?x=a+b%2C&y=%27";
        let url = endpoint.join(good).unwrap();
        assert_eq!(request_target(&url), good);
        assert_eq!(host_header(&url), "127.0.0.1:8099");
        for bad in [
            "/a/../b",
            "/a b",
            "/é",
            "/a#b",
            "/./a",
            "x",
            "/a\nb",
            "/%2e%2E/b",
        ] {
            endpoint.join(bad).unwrap_err();
        }
    }
}
