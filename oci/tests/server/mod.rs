//! A server that keeps the raw bytes of each request and answers from a script: what goes over the
//! wire is the subject, so nothing that would tidy it up stands between.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
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

    /// The parameters of the `authorization` header.
    pub fn signature(&self) -> HashMap<&str, &str> {
        let authorization = self
            .header("authorization")
            .strip_prefix("Signature ")
            .unwrap();
        let parts = authorization
            .split(',')
            .map(|part| part.split_once('=').unwrap());
        parts
            .map(|(name, value)| (name, value.trim_matches('"')))
            .collect()
    }

    /// Checks the signature and the body's digest from the raw lines alone, with the DER of a
    /// 2048-bit SubjectPublicKeyInfo. Returns the key id.
    pub fn verify(&self, spki: &[u8]) -> String {
        let parameters = self.signature();
        let line = |name| match name {
            "(request-target)" => {
                format!("{name}: {} {}", self.method().to_lowercase(), self.target())
            }
            name => format!("{name}: {}", self.header(name)),
        };
        let lines: Vec<String> = parameters["headers"].split(' ').map(line).collect();
        for name in ["date", "(request-target)", "content-length", "content-type"] {
            assert!(
                parameters["headers"]
                    .split(' ')
                    .any(|signed| signed == name),
                "{name}"
            );
        }
        let public_key = &spki[24..]; // after the header that 2048-bit RSA keys have in common
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_key);
        let signature = STANDARD.decode(parameters["signature"]).unwrap();
        key.verify(lines.join("\n").as_bytes(), &signature).unwrap();
        let sha256 = STANDARD.encode(oci::digest(&self.body));
        assert_eq!(self.header("x-content-sha256"), sha256);
        parameters["keyId"].to_owned()
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

/// Decides an answer.
pub type Handler = Arc<dyn Fn(&Received) -> Answer + Send + Sync>;

/// Answers with `script`, one entry a request, the last one again and again.
fn scripted(script: Vec<Answer>) -> Handler {
    let script = Mutex::new(VecDeque::from(script));
    Arc::new(move |_| {
        let mut script = script.lock().unwrap();
        let next = if script.len() > 1 {
            script.pop_front()
        } else {
            script.front().cloned()
        };
        next.unwrap()
    })
}

impl Server {
    pub async fn start(script: Vec<Answer>) -> Self {
        Self::start_with(scripted(script), None).await
    }

    pub async fn start_tls(script: Vec<Answer>, tls: TlsAcceptor) -> Self {
        Self::start_with(scripted(script), Some(tls)).await
    }

    pub async fn start_with(handler: Handler, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let (kept, handler) = (Arc::clone(&kept), Arc::clone(&handler));
                match tls.clone() {
                    None => tokio::spawn(serve(stream, connection, kept, handler)),
                    Some(tls) => tokio::spawn(async move {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, connection, kept, handler).await;
                        }
                    }),
                };
            }
        });
        Self { address, received }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    received: Arc<Mutex<Vec<Received>>>,
    handler: Handler,
) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, connection, &mut buffer).await {
        let answer = handler(&request);
        received.lock().unwrap().push(request);
        match answer {
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

pub fn fixture(name: &str) -> String {
    let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/signing");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// A JWT that ends at `exp` (seconds since the epoch); `name` makes it another one.
pub fn jwt(name: &str, exp: u64) -> String {
    let part = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let payload = format!(r#"{{"sub":"{name}","exp":{exp}}}"#);
    [
        part(r#"{"alg":"RS256"}"#),
        part(&payload),
        part("signature"),
    ]
    .join(".")
}

/// The vector key's public half.
pub fn vector_spki() -> Vec<u8> {
    oci::PrivateKey::from_pem(&fixture("vector-pkcs1.pem"), None)
        .unwrap()
        .public_key_der()
}
