//! Stands between platform-ops and the real engine: notes what is asked, and holds a request back.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "each test binary uses its part"
)]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};

/// A request that waits; it goes on when this is dropped.
pub type Held = mpsc::Sender<()>;

pub struct Relay {
    socket: PathBuf,
    seen: Arc<Mutex<Vec<u8>>>,
    held: mpsc::Receiver<Held>,
}

impl Relay {
    pub fn start(socket: PathBuf) -> Self {
        Self::holding(socket, None)
    }

    /// Requests in which `text` stands wait for the test.
    pub fn holding(socket: PathBuf, text: Option<String>) -> Self {
        let listener = UnixListener::bind(&socket).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (holds, held) = mpsc::channel();
        let note = seen.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                relay(client, note.clone(), text.clone(), holds.clone());
            }
        });
        Self { socket, seen, held }
    }

    /// For DOCKER_HOST.
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// What clients said so far.
    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// The next request that waits.
    pub fn held(&self) -> Held {
        let limit = std::time::Duration::from_secs(300);
        self.held.recv_timeout(limit).expect("no such request came")
    }
}

/// Passes everything on, both ways.
fn relay(
    client: UnixStream,
    seen: Arc<Mutex<Vec<u8>>>,
    hold: Option<String>,
    holds: mpsc::Sender<Held>,
) {
    let engine = UnixStream::connect("/var/run/docker.sock").unwrap();
    let (mut from_client, mut to_engine) =
        (client.try_clone().unwrap(), engine.try_clone().unwrap());
    let (mut from_engine, mut to_client) = (engine, client);
    std::thread::spawn(move || {
        let mut buffer = [0; 64 * 1024];
        while let Ok(bytes @ 1..) = from_client.read(&mut buffer) {
            let said = &buffer[..bytes];
            seen.lock().unwrap().extend_from_slice(said);
            let text = String::from_utf8_lossy(said);
            if hold.as_ref().is_some_and(|hold| text.contains(hold)) {
                let (held, gone) = mpsc::channel();
                // A test that waits for none lets all of them go on.
                let _ = holds.send(held);
                let _ = gone.recv();
            }
            if to_engine.write_all(said).is_err() {
                break;
            }
        }
        let _ = to_engine.shutdown(Shutdown::Write);
    });
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_engine, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
}
