//! A way from the agent to the service that can be broken in the manners in which networks break.

#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How often a connection looks whether it is still to be served.
const LOOK: Duration = Duration::from_millis(20);

/// What becomes of connections, those that are there included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Carried to the service.
    Open,
    /// What is sent on them goes nowhere, and nothing ever comes back: the other side has gone
    /// without a word.
    Silent,
    /// Reset.
    Cut,
    /// Answered by something that speaks another protocol.
    Foreign,
    /// Not answered: what a full queue of connections leaves of a SYN.
    Unanswered,
}

struct Shared {
    mode: Mutex<Mode>,
    is_over: AtomicBool,
}

impl Shared {
    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }
}

/// The way; it ends with this.
pub struct Way {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Way {
    /// To a service at this address, open.
    pub fn to(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Short: while nobody accepts, the kernel soon drops what comes.
        rustix::net::listen(&listener, 0).unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Open),
            is_over: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            while !serving.is_over.load(Ordering::Relaxed) {
                if serving.mode() == Mode::Unanswered {
                    thread::sleep(LOOK);
                    continue;
                }
                match listener.accept() {
                    Ok((stream, _)) => {
                        let shared = Arc::clone(&serving);
                        thread::spawn(move || carry(&stream, service, &shared));
                    }
                    Err(_) => thread::sleep(LOOK),
                }
            }
        });
        Self { address, shared }
    }

    /// As an endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on.
    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

/// One connection, until either side ends it or the way is cut.
fn carry(client: &TcpStream, service: SocketAddr, shared: &Shared) {
    if shared.mode() == Mode::Foreign {
        let _ = (&*client).write_all(b"SSH-2.0-OpenSSH_9.9\r\n");
        return;
    }
    let Ok(server) = TcpStream::connect(service) else {
        return;
    };
    thread::scope(|scope| {
        scope.spawn(|| copy(client, &server, shared));
        copy(&server, client, shared);
    });
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, shared: &Shared) {
    let mut buffer = [0; 16 * 1024];
    from.set_read_timeout(Some(LOOK)).unwrap();
    while !shared.is_over.load(Ordering::Relaxed) && shared.mode() != Mode::Cut {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) if shared.mode() != Mode::Open => {}
            Ok(count) if to.write_all(&buffer[..count]).is_err() => break,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    for stream in [from, to] {
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
}
