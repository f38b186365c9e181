//! One bucket, and how requests to it are made.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};

use super::name::{BucketName, ObjectName, encode};
use super::retry::{RetryPolicy, Tries};
use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::request::{Call, Payload};
use crate::transport::Answer;

/// Bytes a second below which a transfer counts as hanging: 1 Mbit/s.
const BYTES_A_SECOND_MIN: u64 = 128 << 10;

/// The tenancy's namespace, which every path begins with (GetNamespace).
///
/// # Errors
/// Every [`ErrorKind`], after `retry` gave up.
pub async fn namespace(
    client: &Client,
    endpoint: &Endpoint,
    retry: &RetryPolicy,
) -> Result<String> {
    let call = Call::new(Method::GET);
    let mut tries = retry.begin();
    let answer = loop {
        match client.call(endpoint, "/n", &call).await {
            Ok(answer) => break answer,
            Err(error) => tries.pause_after(error).await?,
        }
    };
    serde_json::from_slice(&answer.body).map_err(|error| {
        Error::new(
            ErrorKind::Unexpected,
            format!("GET /n: no namespace: {error}"),
        )
    })
}

/// A bucket with the credentials to use it. A clone shares connections.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: Client,
    endpoint: Endpoint,
    namespace: String,
    name: BucketName,
    retry: RetryPolicy,
}

impl Bucket {
    /// The bucket `name` of the tenancy whose namespace that is; makes no request.
    pub fn new(client: Client, endpoint: Endpoint, namespace: String, name: BucketName) -> Self {
        Self {
            client,
            endpoint,
            namespace,
            name,
            retry: RetryPolicy::default(),
        }
    }

    /// The same, asked again as `retry` says.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Its name.
    pub fn name(&self) -> &BucketName {
        &self.name
    }

    /// The namespace that it is in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The path of the bucket and what follows it.
    pub(super) fn target(&self, rest: &str) -> String {
        format!("/n/{}/b/{}{rest}", encode(&self.namespace), self.name)
    }

    pub(super) fn object_target(&self, object: &ObjectName) -> String {
        self.target(&format!("/o/{}", encode(object.as_str())))
    }

    /// A call that may take as long as its bytes need, on top of the client's limit.
    pub(super) fn call<'a>(
        &self,
        method: Method,
        payload: Payload<'a>,
        headers: &'a [(HeaderName, HeaderValue)],
        bytes: usize,
    ) -> Call<'a> {
        let transfer = Duration::from_secs(bytes as u64 / BYTES_A_SECOND_MIN);
        let mut call = Call::new(method);
        call.payload = payload;
        call.headers = headers;
        call.timeout = Some(self.client.request_timeout() + transfer);
        call
    }

    /// One attempt.
    pub(super) async fn ask(&self, target: &str, call: &Call<'_>) -> Result<Answer> {
        self.client.call(&self.endpoint, target, call).await
    }

    /// Attempts until the retry policy gives up.
    pub(super) async fn ask_again(&self, target: &str, call: &Call<'_>) -> Result<Answer> {
        let mut tries = self.tries();
        loop {
            match self.ask(target, call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => tries.pause_after(error).await?,
            }
        }
    }

    pub(super) fn tries(&self) -> Tries {
        self.retry.begin()
    }
}

/// A header whose text comes from outside.
pub(super) fn header_value(name: &str, text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text)
        .map_err(|_| Error::config(format!("{name}: a character that no HTTP header may hold")))
}
