//! Bodies on their way to OCI: digest and optional gzip once, then one signed attempt at a time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use agent_core::{BatchId, Outcome};
use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use oci::{ContentEncoding, Error, ErrorKind, LogClient, LogId};
use tokio::runtime::Handle;

/// gzip's usual window, 32 KiB.
const WINDOW_BITS: u8 = 15;
/// Room for a compressed body's head and end.
const GZIP_BYTES_MIN: usize = 1024;

/// What is kept of a body between attempts, so that they are the same. A plain body is kept by
/// the core alone: once it is accepted, nobody else holds it, and its memory is used again.
#[derive(Clone)]
pub struct Sealed {
    /// The body it belongs to: a batch that is refused is sent in pieces.
    body: Weak<Vec<u8>>,
    /// Compressed, if it is.
    gzip: Option<Bytes>,
    /// Of the bytes that go out.
    pub sha256: oci::Digest,
}

impl Sealed {
    fn is_of(&self, body: &Arc<Vec<u8>>) -> bool {
        std::ptr::eq(self.body.as_ptr(), Arc::as_ptr(body))
    }

    /// The bytes that go out: compressed, or `body` itself.
    pub fn bytes(&self, body: Arc<Vec<u8>>) -> Bytes {
        let gzip = self.gzip.clone();
        gzip.unwrap_or_else(|| Bytes::from_owner(Body(body)))
    }
}

struct Body(Arc<Vec<u8>>);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What became of an attempt.
#[derive(Debug)]
pub struct Answered {
    /// What follows from it.
    pub outcome: Outcome,
    /// What the service said when it refused the body.
    pub refusal: Option<String>,
    /// The service's `Date`, since 1970-01-01.
    pub date: Option<Duration>,
}

/// A date as the core counts it.
pub fn since_epoch(date: SystemTime) -> Duration {
    date.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// Sends batches on a runtime of its own.
pub struct Sender {
    runtime: Handle,
    client: LogClient,
    log_id: LogId,
    encoding: ContentEncoding,
    gzip: Gzip,
    sealed: HashMap<BatchId, Sealed>,
    last_error: Arc<Mutex<Option<String>>>,
    /// A session is about to end, and that has been said.
    is_ending: Arc<AtomicBool>,
}

impl Sender {
    /// Nothing is sent yet.
    pub fn new(
        runtime: Handle,
        client: LogClient,
        log_id: LogId,
        encoding: ContentEncoding,
    ) -> Self {
        let last_error = Arc::default();
        Self {
            runtime,
            client,
            log_id,
            encoding,
            gzip: Gzip::default(),
            sealed: HashMap::new(),
            last_error,
            is_ending: Arc::default(),
        }
    }

    /// The last attempt's error, until one succeeds.
    pub fn last_error(&self) -> Option<String> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// One attempt; `answer` is called with what became of it.
    pub fn send(
        &mut self,
        batch: BatchId,
        body: Arc<Vec<u8>>,
        answer: impl FnOnce(Answered) + Send + 'static,
    ) {
        let encoding = self.encoding;
        let known = self.sealed.get(&batch);
        let sealed = match known.filter(|sealed| sealed.is_of(&body)) {
            Some(sealed) => sealed.clone(),
            None => {
                let sealed = self.gzip.seal(&body, encoding);
                self.sealed.insert(batch, sealed.clone());
                sealed
            }
        };
        let bytes = sealed.bytes(body);
        let (client, log_id) = (self.client.clone(), self.log_id.clone());
        let last_error = Arc::clone(&self.last_error);
        let is_ending = Arc::clone(&self.is_ending);
        self.runtime.spawn(async move {
            let result = client
                .put_logs(&log_id, bytes, &sealed.sha256, encoding)
                .await;
            let outcome = result.as_ref().map_or_else(outcome, |_| Outcome::Accepted);
            let date = match &result {
                Ok(accepted) => accepted.date,
                Err(error) => error.date(),
            };
            let error = result.err().map(|error| error.to_string());
            let mut last = last_error.lock().unwrap_or_else(PoisonError::into_inner);
            match (&*last, &error) {
                (None, None) => {}
                (Some(_), None) => tracing::info!("OCI accepts again"),
                // Said once, not at every retry of an outage.
                (None, Some(text)) => tracing::warn!("sending failed, will be retried: {text}"),
                (Some(_), Some(text)) => tracing::debug!("sending still fails: {text}"),
            }
            let refusal = error.clone().filter(|_| outcome == Outcome::Refused);
            *last = error;
            drop(last);
            name_expiry(&client, &is_ending);
            answer(Answered {
                outcome,
                refusal,
                date: date.map(since_epoch),
            });
        });
    }

    /// The batch is settled.
    pub fn forget(&mut self, batch: BatchId) {
        self.sealed.remove(&batch);
    }
}

/// Encodes a body and takes its digest.
pub fn seal(body: &Arc<Vec<u8>>, encoding: ContentEncoding) -> Sealed {
    Gzip::default().seal(body, encoding)
}

/// What compressing needs, from body to body.
#[derive(Default)]
struct Gzip {
    deflate: Option<Compress>,
    out: Vec<u8>,
}

impl Gzip {
    fn seal(&mut self, body: &Arc<Vec<u8>>, encoding: ContentEncoding) -> Sealed {
        let gzip = match encoding {
            ContentEncoding::Identity => None,
            // It does not fail; if it did, the plain body would be refused.
            ContentEncoding::Gzip => self.compress(body),
        };
        let sha256 = oci::digest(gzip.as_deref().unwrap_or(body));
        Sealed {
            body: Arc::downgrade(body),
            gzip,
            sha256,
        }
    }

    fn compress(&mut self, body: &[u8]) -> Option<Bytes> {
        let new = || Compress::new_gzip(Compression::fast(), WINDOW_BITS);
        let deflate = self.deflate.get_or_insert_with(new);
        deflate.reset();
        self.out.clear();
        loop {
            self.out.reserve(body.len() / 4 + GZIP_BYTES_MIN);
            let done = usize::try_from(deflate.total_in()).ok()?;
            let rest = body.get(done..)?;
            match deflate.compress_vec(rest, &mut self.out, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => return Some(Bytes::copy_from_slice(&self.out)),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}

/// Says once that somebody has to renew the credentials, before they end.
fn name_expiry(client: &LogClient, is_ending: &AtomicBool) {
    let warning = client.credentials().expiry_warning(SystemTime::now());
    let was_said = is_ending.swap(warning.is_some(), Ordering::Relaxed);
    if let Some(warning) = warning.filter(|_| !was_said) {
        tracing::warn!("{warning}");
    }
}

fn outcome(error: &Error) -> Outcome {
    match error.kind() {
        ErrorKind::BadRequest | ErrorKind::TooLarge => Outcome::Refused,
        ErrorKind::Unauthorized
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Config
        | ErrorKind::Credentials => Outcome::Denied,
        _ => Outcome::Unavailable {
            retry_after: error.retry_after(),
        },
    }
}
