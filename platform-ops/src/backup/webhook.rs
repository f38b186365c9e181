//! One POST where an operator looks: that a backup failed, or is too old, or (for a dead man's
//! switch) that it succeeded.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use oci::ClientOptions;
use serde::{Deserialize, Serialize};

use crate::backup::alarm::Alarm;
use crate::failure::Failure;
use crate::redact::Redactor;

/// For all of it: a run's end must not hang on it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// `[webhook]` of `backup.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where to; such an address often is a secret itself, and is never printed.
    pub url: Option<String>,
    /// A file that holds it, instead.
    pub url_file: Option<PathBuf>,
    /// Tell of successes as well, for a service that alarms when none comes.
    #[serde(default)]
    pub success: bool,
}

/// What is told.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    /// `backup_ok` or `backup_alarm`.
    pub event: &'static str,
    /// This host's name.
    pub host: String,
    /// One line, for whoever shows a line: chat services name the field so.
    pub text: String,
    /// The run's exit code.
    pub exit: u8,
    /// The last set that was made.
    pub set: Option<&'a str>,
    /// What is wrong.
    pub alarms: &'a [Alarm],
}

impl Webhook {
    fn address(&self) -> anyhow::Result<String> {
        let url = match (&self.url, &self.url_file) {
            (Some(url), None) => url.clone(),
            (None, Some(path)) => std::fs::read_to_string(path)
                .with_context(|| format!("read the webhook's url_file {}", path.display()))?,
            _ => {
                return Err(Failure::usage("[webhook] needs one of url and url_file").into());
            }
        };
        Ok(url.trim().to_owned())
    }

    /// Sends it.
    ///
    /// # Errors
    /// No answer in time, or none of success; without the address.
    pub async fn send(&self, message: &Message<'_>, redactor: &Redactor) -> anyhow::Result<()> {
        let url = self.address()?;
        redactor.learn(&url);
        let body = redactor.clean(&serde_json::to_string(message)?);
        let options = ClientOptions {
            user_agent: concat!("platform-ops/", env!("CARGO_PKG_VERSION")).to_owned(),
            request_timeout: TIMEOUT,
            connect_timeout: TIMEOUT,
            ..ClientOptions::default()
        };
        let answer = oci::http_client(&options)?
            .post(&url)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await;
        let answer = answer.map_err(|error| error.without_url());
        let status = answer.context("tell the webhook")?.status();
        anyhow::ensure!(status.is_success(), "the webhook answered {status}");
        Ok(())
    }
}
