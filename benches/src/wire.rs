//! The server side of HTTP/1.1, as far as log shippers use it, on a blocking socket.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use memchr::memmem;
use rustix::net::{RecvFlags, recv};

/// Bytes of a body passed over by one call.
const DRAIN_BYTES: usize = 1 << 20;

/// A request's head.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// `content-length`; 0 when there is none.
    pub length: u64,
    /// `transfer-encoding: chunked`.
    pub chunked: bool,
    /// `content-encoding: gzip`.
    pub gzip: bool,
    /// `expect: 100-continue`.
    pub expects: bool,
}

impl Head {
    fn parse(text: &str) -> io::Result<Self> {
        let mut head = Self::default();
        for line in text.lines().skip(1) {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "content-length" => head.length = value.parse().map_err(io::Error::other)?,
                "transfer-encoding" => head.chunked = value.eq_ignore_ascii_case("chunked"),
                "content-encoding" => head.gzip = value.eq_ignore_ascii_case("gzip"),
                "expect" => head.expects = true,
                _ => {}
            }
        }
        Ok(head)
    }
}

/// A connection with a client.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Never looked at: where the kernel would put what it drops.
    nowhere: Vec<u8>,
}

impl Wire {
    /// Serves this connection.
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            nowhere: vec![0; DRAIN_BYTES],
        }
    }

    /// The next request's head; `None` when the client is done.
    ///
    /// # Errors
    /// Those of the socket, and for what is not HTTP.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                let head = Head::parse(&String::from_utf8_lossy(&self.buffer[..end]))?;
                self.buffer.drain(..end + 4);
                if head.expects {
                    self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                }
                return Ok(Some(head));
            }
            if self.more()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Passes over a body without having it copied out of the kernel.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn drain(&mut self, head: &Head) -> io::Result<u64> {
        if head.chunked {
            return Ok(self.body(head)?.len() as u64);
        }
        let have = (self.buffer.len() as u64).min(head.length);
        self.buffer
            .drain(..usize::try_from(have).map_err(io::Error::other)?);
        let mut left = head.length - have;
        while left > 0 {
            let len = left.min(DRAIN_BYTES as u64) as usize;
            // tcp(7): with MSG_TRUNC the bytes are dropped, not copied.
            let (_, dropped) = recv(&self.stream, &mut self.nowhere[..len], RecvFlags::TRUNC)?;
            if dropped == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= dropped as u64;
        }
        Ok(head.length)
    }

    /// Reads a body.
    ///
    /// # Errors
    /// Those of the socket, and for a body that is not what its head says.
    pub fn body(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        if !head.chunked {
            return self.take(usize::try_from(head.length).map_err(io::Error::other)?);
        }
        let mut body = Vec::new();
        loop {
            let size = self.line()?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            body.extend_from_slice(&self.take(size)?);
            self.line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// Answers 200 with nothing.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn accept(&mut self) -> io::Result<()> {
        self.stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = memmem::find(&self.buffer, b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            if self.more()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let have = self.buffer.len().min(len);
        let mut taken: Vec<u8> = self.buffer.drain(..have).collect();
        taken.resize(len, 0);
        self.stream.read_exact(&mut taken[have..])?;
        Ok(taken)
    }

    fn more(&mut self) -> io::Result<usize> {
        let at = self.buffer.len();
        self.buffer.resize(at + 4096, 0);
        let count = self.stream.read(&mut self.buffer[at..])?;
        self.buffer.truncate(at + count);
        Ok(count)
    }
}
