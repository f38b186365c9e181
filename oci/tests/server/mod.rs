//! A server that keeps the raw bytes of each request and answers from a script: what goes over the
//! wire is the subject, so nothing that would tidy it up stands between.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What the server does with one request.
#[derive(Clone)]
pub enum Answer {
    /// These bytes, as they are.
    Raw(Vec<u8>),
    /// These bytes, then close.
    Cut(Vec<u8>),
    /// Close without a byte.
    Close,
    /// Hold the connection open and say nothing.
    Silence,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Which connection it came on, from 0.
    pub connection: usize,
    /// The request line and the header lines.
    pub lines: Vec<String>,
    pub body: Vec<u8>,
}

impl Received {
    /// The value of a header; panics when there is none or there are two.
    pub fn header(&self, name: &str) -> &str {
        let all = self.headers(name);
        assert_eq!(all.len(), 1, "{name} in {:?}", self.lines);
        all[0]
    }

    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.lines[1..]
            .iter()
            .filter_map(|line| line.split_once(':'));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    pub fn method(&self) -> &str {
        self.lines[0].split(' ').next().unwrap()
    }

    pub fn target(&self) -> &str {
        self.lines[0].split(' ').nth(1).unwrap()
    }
}

/// Runs until it is dropped with the test's runtime.
pub struct Server {
    pub address: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    /// Answers with `script`, one entry a request, the last one again and again.
    pub async fn start(script: Vec<Answer>) -> Self {
        Self::start_with(script, None).await
    }

    pub async fn start_with(script: Vec<Answer>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(VecDeque::from(script)));
        let kept = Arc::clone(&received);
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let (kept, script) = (Arc::clone(&kept), Arc::clone(&script));
                match tls.clone() {
                    None => tokio::spawn(serve(stream, connection, kept, script)),
                    Some(tls) => tokio::spawn(async move {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, connection, kept, script).await;
                        }
                    }),
                };
            }
        });
        Self { address, received }
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    received: Arc<Mutex<Vec<Received>>>,
    script: Arc<Mutex<VecDeque<Answer>>>,
) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, connection, &mut buffer).await {
        received.lock().unwrap().push(request);
        let answer = {
            let mut script = script.lock().unwrap();
            if script.len() > 1 {
                script.pop_front()
            } else {
                script.front().cloned()
            }
        };
        match answer.unwrap() {
            Answer::Raw(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Answer::Cut(bytes) => {
                stream.write_all(&bytes).await.unwrap();
                return;
            }
            Answer::Close => return,
            Answer::Silence => std::future::pending().await,
        }
    }
}

async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    connection: usize,
    buffer: &mut Vec<u8>,
) -> Option<Received> {
    let head = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let lines: Vec<String> = head.trim_end().split("\r\n").map(str::to_owned).collect();
    let mut request = Received {
        connection,
        lines,
        body: Vec::new(),
    };
    let length: usize = request
        .headers("content-length")
        .first()
        .map_or(0, |l| l.parse().unwrap());
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    request.body = buffer.drain(..length).collect();
    Some(request)
}

/// A whole answer with a body.
pub fn answer(status: &str, headers: &[&str], body: &str) -> Answer {
    let mut text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    for header in headers {
        text += header;
        text += "\r\n";
    }
    Answer::Raw((text + "\r\n" + body).into_bytes())
}
