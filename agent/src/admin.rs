//! What can be asked of a running agent: `/metrics`, `/healthz`, `/readyz`, `/status`, on a unix
//! socket in the state folder and, when configured, on a TCP address.

mod merge;
mod page;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agent_core::ledger::Ledger;
use agent_core::stats::{ContainerStatus, Gauges, Stats};

use crate::config::Admin;
use crate::spool::Usage;

/// Without news for this long the loop is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// A client that says nothing is dropped.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_BYTES_MAX: u64 = 8 * 1024;

/// The state as the loop last put it up.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Since the start.
    pub at: Duration,
    /// Totals.
    pub stats: Stats,
    /// Present values.
    pub gauges: Gauges,
    /// Each container followed.
    pub containers: Vec<ContainerStatus>,
    /// Name and reason of each that is not.
    pub left_out: Vec<(String, String)>,
    /// What was lost, also by earlier runs.
    pub losses: Ledger,
    /// The last attempt's error.
    pub send_error: Option<String>,
    /// The last checkpoint was not saved.
    pub save_failed: bool,
    /// Why a refused entry could not be kept.
    pub quarantine_error: Option<String>,
    /// What the spool holds.
    pub spool: Usage,
    /// Why the spool takes no more.
    pub spool_error: Option<String>,
    /// While OCI takes nothing: the container that loses lines first, and in how long.
    pub first_to_lose: Option<(String, Duration)>,
    /// The folder of containers cannot be read.
    pub containers_error: Option<String>,
    /// Descriptors held.
    pub open_files: usize,
    /// Disk space of deleted files that are held.
    pub held_bytes: u64,
    /// Disk space of deleted files that were let go of at a bound, since the start.
    pub evicted_bytes: u64,
    /// inotify watches everything.
    pub watch_whole: bool,
    /// Every folder that was there at the start was looked into.
    pub has_looked: bool,
    /// Why nothing can be signed yet.
    pub sign_in: Option<String>,
}

/// The state in four numbers.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    /// As `/readyz` says.
    pub is_ready: bool,
    /// Bytes known to be there and not accepted.
    pub lag_bytes: u64,
    /// Bytes lost since the start.
    pub lost_bytes: u64,
    /// Entries accepted since the start.
    pub accepted_entries: u64,
}

/// Where it is put up.
#[derive(Clone, Debug)]
pub struct Board {
    /// Of each pipeline.
    snapshots: Arc<Mutex<Vec<Snapshot>>>,
    started: Instant,
    /// Somebody has looked lately.
    was_asked: Arc<AtomicBool>,
    /// Why nothing can be signed yet.
    sign_in: Arc<Mutex<Option<String>>>,
}

impl Board {
    /// An empty one.
    pub fn new(started: Instant, pipelines: usize) -> Self {
        Self {
            snapshots: Arc::new(Mutex::new(vec![Snapshot::default(); pipelines])),
            started,
            was_asked: Arc::default(),
            sign_in: Arc::new(Mutex::new(Some("no credentials yet".to_owned()))),
        }
    }

    /// There are credentials, or not yet, and why.
    pub fn signed_in(&self, outcome: Result<(), String>) {
        let mut sign_in = self.sign_in.lock().unwrap_or_else(PoisonError::into_inner);
        *sign_in = outcome.err();
    }

    /// Whether what has to be there before anything is sent is still coming.
    pub fn is_starting(&self) -> bool {
        starting(&self.look()).is_some()
    }

    /// Replaces what is there of a pipeline.
    pub fn put_up(&self, pipeline: usize, snapshot: Snapshot) {
        if let Some(old) = self.snapshots().get_mut(pipeline) {
            *old = snapshot;
        }
    }

    /// What is there of a pipeline is as it was, `at` this time too.
    pub fn confirm(&self, pipeline: usize, at: Duration) {
        if let Some(snapshot) = self.snapshots().get_mut(pipeline) {
            snapshot.at = at;
        }
    }

    /// Whether somebody has looked since this was asked last.
    pub fn was_asked(&self) -> bool {
        self.was_asked.swap(false, Ordering::Relaxed)
    }

    fn snapshots(&self) -> MutexGuard<'_, Vec<Snapshot>> {
        self.snapshots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> Snapshot {
        self.was_asked.store(true, Ordering::Relaxed);
        let all = self.snapshots().clone();
        let whole = all.into_iter().reduce(|mut whole, part| {
            whole.add(part);
            whole
        });
        let sign_in = self.sign_in.lock().unwrap_or_else(PoisonError::into_inner);
        Snapshot {
            sign_in: sign_in.clone(),
            ..whole.unwrap_or_default()
        }
    }

    /// What a heartbeat tells; `None` when the loop is stuck.
    pub fn pulse(&self) -> Option<Pulse> {
        let snapshot = self.look();
        self.is_alive(&snapshot).then(|| Pulse {
            is_ready: unready(&snapshot).is_none(),
            lag_bytes: snapshot.gauges.lag_bytes,
            lost_bytes: snapshot.stats.lost_bytes,
            accepted_entries: snapshot.stats.accepted_entries,
        })
    }

    fn is_alive(&self, snapshot: &Snapshot) -> bool {
        self.started.elapsed().saturating_sub(snapshot.at) < STUCK_AFTER
    }
}

/// Serves on the configured addresses, each on a thread of its own.
///
/// # Errors
/// When an address cannot be bound.
pub fn serve(admin: &Admin, board: &Board) -> io::Result<()> {
    if let Some(path) = &admin.socket {
        // The state folder's lock is ours, so a socket there is left over.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let board = board.clone();
        std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    let _ = stream.set_read_timeout(Some(CLIENT_TIMEOUT));
                    let _ = stream.set_write_timeout(Some(CLIENT_TIMEOUT));
                    // A client that went away is no concern of ours.
                    let _ = answer(&stream, &stream, &board);
                }
            })?;
    }
    if let Some(address) = admin.listen {
        let listener = TcpListener::bind(address)?;
        let board = board.clone();
        std::thread::Builder::new()
            .name("admin-tcp".to_owned())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    let _ = stream.set_read_timeout(Some(CLIENT_TIMEOUT));
                    let _ = stream.set_write_timeout(Some(CLIENT_TIMEOUT));
                    let _ = answer(&stream, &stream, &board);
                }
            })?;
    }
    Ok(())
}

fn answer(from: impl Read, mut to: impl Write, board: &Board) -> io::Result<()> {
    let mut lines = BufReader::new(from.take(REQUEST_BYTES_MAX)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request
        .strip_prefix("GET ")
        .and_then(|rest| rest.split(' ').next());
    let snapshot = board.look();
    let (status, kind, body) = match path {
        Some("/metrics") => (
            "200 OK",
            "text/plain; version=0.0.4",
            page::metrics(&snapshot),
        ),
        Some("/healthz") if board.is_alive(&snapshot) => {
            ("200 OK", "text/plain", "ok\n".to_owned())
        }
        Some("/healthz") => (
            "503 Service Unavailable",
            "text/plain",
            "stuck\n".to_owned(),
        ),
        Some("/readyz") => match unready(&snapshot) {
            None => ("200 OK", "text/plain", "ok\n".to_owned()),
            Some(why) => ("503 Service Unavailable", "text/plain", format!("{why}\n")),
        },
        Some("/status") => ("200 OK", "application/json", page::status(&snapshot)),
        _ => (
            "404 Not Found",
            "text/plain",
            "/metrics /healthz /readyz /status\n".to_owned(),
        ),
    };
    write!(
        to,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn unready(snapshot: &Snapshot) -> Option<String> {
    if let Some(error) = &snapshot.containers_error {
        return Some(format!("the folder of containers cannot be read: {error}"));
    }
    if snapshot.save_failed {
        return Some("the last checkpoint could not be saved".to_owned());
    }
    if let Some(error) = &snapshot.quarantine_error {
        return Some(format!("a refused entry cannot be kept: {error}"));
    }
    if let Some(error) = &snapshot.spool_error {
        let first = snapshot.first_to_lose.as_ref();
        let first = first.map_or_else(String::new, |(name, left)| {
            let left = jiff::SignedDuration::try_from(*left).unwrap_or_default();
            format!("; {name} loses its first lines in {left:#}")
        });
        return Some(format!("{error}{first}"));
    }
    if snapshot.gauges.denied {
        let error = snapshot.send_error.as_deref().unwrap_or("no reason known");
        return Some(format!("OCI refuses us: {error}"));
    }
    starting(snapshot)
}

/// What is not there yet of what has to be before anything is sent. That there is a checkpoint to
/// go on from is known before anybody can ask.
fn starting(snapshot: &Snapshot) -> Option<String> {
    if !snapshot.has_looked {
        return Some("starting: folders of containers are still to be looked into".to_owned());
    }
    let why = snapshot.sign_in.as_ref()?;
    Some(format!("starting: {why}"))
}

/// Asks a running agent for `path` over its socket: the HTTP status and the body.
///
/// # Errors
/// When nobody answers there.
pub fn ask(socket: &Path, path: &str) -> io::Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(CLIENT_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let invalid = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "not an answer of platform-agent",
        )
    };
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(invalid)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(invalid)?;
    Ok((status, body.to_owned()))
}
