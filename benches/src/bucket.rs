//! A bucket on loopback that takes uploads in parts and keeps nothing: what an upload costs, without
//! what its service does. And a socket that takes bytes, the yardstick.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use oci::object::{Md5Sum, multipart_md5};
use serde_json::json;

/// Bytes of one read: as large as helps.
const READ_BYTES: usize = 1 << 20;

/// Sizes of parts by their numbers.
type Parts = Arc<Mutex<HashMap<u16, u64>>>;

struct Request {
    line: String,
    headers: HashMap<String, String>,
}

impl Request {
    fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut headers = HashMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(": ") else {
                return Ok(Some(Self { line, headers }));
            };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn length(&self) -> u64 {
        self.header("content-length").parse().unwrap_or(0)
    }

    /// The number of the part that this is.
    fn part(&self) -> Option<u16> {
        let (_, rest) = self.line.split_once("uploadPartNum=")?;
        let digits = rest.split(|char: char| !char.is_ascii_digit()).next()?;
        digits.parse().ok()
    }
}

/// Serves uploads until the process ends.
///
/// # Errors
/// Those of the socket.
pub fn bucket() -> io::Result<SocketAddr> {
    let parts = Parts::default();
    listen(move |stream| serve(stream, &parts))
}

/// Takes what is written, and says at the end of it how much that was.
///
/// # Errors
/// Those of the socket.
pub fn socket() -> io::Result<SocketAddr> {
    listen(|mut stream| {
        let taken = pass(&mut stream, u64::MAX)?;
        stream.write_all(&taken.to_le_bytes())
    })
}

fn listen(
    serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || {
                if let Err(error) = serve(stream) {
                    eprintln!("bucket: {error}");
                }
            });
        }
    });
    Ok(address)
}

/// Reads so many bytes, or to the end, into nothing.
fn pass(from: &mut impl Read, mut bytes: u64) -> io::Result<u64> {
    let mut buffer = vec![0; READ_BYTES];
    let mut passed = 0;
    while bytes > 0 {
        let room = usize::try_from(bytes).map_or(READ_BYTES, |left| left.min(READ_BYTES));
        let read = from.read(&mut buffer[..room])? as u64;
        if read == 0 {
            break;
        }
        passed += read;
        bytes -= read;
    }
    Ok(passed)
}

fn serve(stream: TcpStream, parts: &Parts) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut answers = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        if pass(&mut reader, request.length())? != request.length() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (headers, body) = answer(&request, parts);
        write!(
            answers,
            "HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
    Ok(())
}

/// Headers and body. No checksum is computed: that of an empty part stands for all.
fn answer(request: &Request, parts: &Parts) -> (String, String) {
    let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
    let none = Md5Sum::of(b"");
    if let Some(number) = request.part() {
        parts.insert(number, request.length());
        let sha256 = request.header("opc-content-sha256");
        let sums = format!("opc-content-md5: {none}\r\nopc-content-sha256: {sha256}\r\n");
        return (format!("etag: {number}\r\n{sums}"), String::new());
    }
    if request.line.starts_with("GET") {
        let part = |(number, size): (&u16, &u64)| json!({"partNumber": number, "etag": number.to_string(), "md5": none.to_string(), "size": size});
        let all: Vec<_> = parts.iter().map(part).collect();
        return (String::new(), json!(all).to_string());
    }
    if request.line.contains("uploadId=") {
        let sum = multipart_md5(&vec![none; parts.len()]);
        return (
            format!("etag: e\r\nopc-multipart-md5: {sum}\r\n"),
            String::new(),
        );
    }
    parts.clear();
    (String::new(), json!({"uploadId": "u"}).to_string())
}
