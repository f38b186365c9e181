//! HTTP proxies: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in either case.

use reqwest::{NoProxy, Proxy};

use crate::environment::Environment;
use crate::error::{Error, Result};

const HTTPS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const HTTP: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
const EXCEPT: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The proxies that the environment names. They are read here instead of by the HTTP client so
/// that they come from the environment that was given, and from nowhere else.
///
/// # Errors
/// When a value is no URL; it is not repeated, for it may hold a password.
pub(crate) fn proxies(environment: &Environment) -> Result<Vec<Proxy>> {
    let except = environment
        .first(&EXCEPT)
        .and_then(|(_, text)| NoProxy::from_string(text));
    let mut proxies = Vec::new();
    for (variables, is_tls) in [(HTTPS, true), (HTTP, false)] {
        let Some((variable, url)) = environment.first(&variables) else {
            continue;
        };
        let make = if is_tls { Proxy::https } else { Proxy::http };
        let proxy = make(url.trim())
            .map_err(|_| Error::config(format!("{variable} is not the URL of a proxy")))?;
        proxies.push(proxy.no_proxy(except.clone()));
    }
    Ok(proxies)
}
