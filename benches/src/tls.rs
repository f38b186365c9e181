//! TLS in front of the sink: what it costs the sender is measured, what it costs here is not.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, poll};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

/// Where the sink is reached by TLS; its threads end with the process.
pub struct Front {
    /// Its URL.
    pub url: String,
    /// The certificate that a client must trust, PEM.
    pub authority: PathBuf,
}

impl Front {
    /// Listens on a free port of loopback; the certificate is put into `dir`.
    ///
    /// # Errors
    /// When no certificate can be made, and those of the socket.
    pub fn start(sink: SocketAddr, dir: &Path) -> Result<Self> {
        let own = rcgen::generate_simple_self_signed(vec![Ipv4Addr::LOCALHOST.to_string()])?;
        let authority = dir.join("authority.pem");
        fs::write(&authority, own.cert.pem())?;
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der())
            .map_err(|error| anyhow::anyhow!("the key: {error}"))?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)?;
        let config = Arc::new(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let url = format!("https://{}", listener.local_addr()?);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                // A client that ends breaks its connection.
                std::thread::spawn(move || relay(client, sink, config));
            }
        });
        Ok(Self { url, authority })
    }
}

fn relay(mut client: TcpStream, sink: SocketAddr, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut conn = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut sink = TcpStream::connect(sink)?;
    let mut answer = [0; 4096];
    loop {
        let mut either = [
            PollFd::new(&client, PollFlags::IN),
            PollFd::new(&sink, PollFlags::IN),
        ];
        poll(&mut either, None)?;
        let [from_client, from_sink] = either.map(|it| !it.revents().is_empty());
        if from_client {
            if conn.read_tls(&mut client)? == 0 {
                return Ok(());
            }
            let state = conn.process_new_packets().map_err(io::Error::other)?;
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            conn.reader().read_exact(&mut plain)?;
            sink.write_all(&plain)?;
        }
        if from_sink {
            let count = sink.read(&mut answer)?;
            if count == 0 {
                return Ok(());
            }
            conn.writer().write_all(&answer[..count])?;
        }
        while conn.wants_write() {
            conn.write_tls(&mut client)?;
        }
    }
}
