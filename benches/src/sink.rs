//! Where log shippers send to: a plain HTTP server on loopback that accepts everything and costs
//! them as little as can be.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;

use crate::ledger::Ledger;
use crate::wire::Wire;

/// What the sink does with bodies.
pub enum Mode {
    /// Drops them in the kernel.
    Discard,
    /// Notes every line.
    Count(Ledger),
    /// Keeps them until there are this many bytes, then drops them.
    Keep(usize, Vec<Vec<u8>>),
}

struct Shared {
    began: Instant,
    bytes: AtomicU64,
    requests: AtomicU64,
    /// When the last body came, nanoseconds since `began`.
    last: AtomicU64,
    mode: Mutex<Mode>,
    error: Mutex<Option<String>>,
}

/// A running sink; its threads end with the process.
#[derive(Clone)]
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Sink {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let sink = Self {
            address: listener.local_addr()?,
            shared: Arc::new(Shared {
                began: Instant::now(),
                bytes: AtomicU64::new(0),
                requests: AtomicU64::new(0),
                last: AtomicU64::new(0),
                mode: Mutex::new(Mode::Discard),
                error: Mutex::new(None),
            }),
        };
        let shared = Arc::clone(&sink.shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    if let Err(error) = serve(&mut Wire::new(stream), &shared) {
                        // A client that is killed breaks its connection.
                        if error.kind() != io::ErrorKind::ConnectionReset
                            && error.kind() != io::ErrorKind::UnexpectedEof
                        {
                            *lock(&shared.error) = Some(error.to_string());
                        }
                    }
                });
            }
        });
        Ok(sink)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Time since its start, the clock of [`Ledger`]'s times.
    pub fn clock(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// Starts anew in this mode; returns the one before with what it gathered.
    pub fn reset(&self, mode: Mode) -> Mode {
        let before = std::mem::replace(&mut *lock(&self.shared.mode), mode);
        self.shared.bytes.store(0, Ordering::SeqCst);
        self.shared.requests.store(0, Ordering::SeqCst);
        self.shared.last.store(self.nanoseconds(), Ordering::SeqCst);
        before
    }

    /// Body bytes as they came, since the last [`Sink::reset`].
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::SeqCst)
    }

    /// Requests since the last [`Sink::reset`].
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Different lines so far; 0 unless they are counted.
    pub fn lines(&self) -> u64 {
        match &*lock(&self.shared.mode) {
            Mode::Count(ledger) => ledger.lines,
            _ => 0,
        }
    }

    /// Time since the last body, or the last [`Sink::reset`].
    pub fn quiet(&self) -> Duration {
        let last = self.shared.last.load(Ordering::SeqCst);
        Duration::from_nanos(self.nanoseconds().saturating_sub(last))
    }

    /// What went wrong with a connection, if anything.
    pub fn error(&self) -> Option<String> {
        lock(&self.shared.error).clone()
    }

    fn nanoseconds(&self) -> u64 {
        u64::try_from(self.clock().as_nanos()).unwrap_or(u64::MAX)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(wire: &mut Wire, shared: &Shared) -> io::Result<()> {
    while let Some(head) = wire.head()? {
        let drop = matches!(*lock(&shared.mode), Mode::Discard);
        let bytes = match drop {
            true => wire.drain(&head)?,
            false => {
                let body = wire.body(&head)?;
                let bytes = body.len() as u64;
                gather(shared, plain(body, head.gzip)?);
                bytes
            }
        };
        shared.bytes.fetch_add(bytes, Ordering::SeqCst);
        shared.requests.fetch_add(1, Ordering::SeqCst);
        let now = u64::try_from(shared.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        shared.last.store(now, Ordering::SeqCst);
        wire.accept()?;
    }
    Ok(())
}

fn plain(body: Vec<u8>, gzip: bool) -> io::Result<Vec<u8>> {
    if !gzip {
        return Ok(body);
    }
    let mut plain = Vec::new();
    MultiGzDecoder::new(&body[..]).read_to_end(&mut plain)?;
    Ok(plain)
}

fn gather(shared: &Shared, body: Vec<u8>) {
    match &mut *lock(&shared.mode) {
        Mode::Discard => {}
        Mode::Count(ledger) => ledger.note(&body, shared.began.elapsed()),
        Mode::Keep(bytes_max, bodies) => {
            if bodies.iter().map(Vec::len).sum::<usize>() < *bytes_max {
                bodies.push(body);
            }
        }
    }
}
