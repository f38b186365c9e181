//! What the sink takes when nothing holds the sender up: it must be far more than any program
//! under test sends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use anyhow::Result;

use super::Bench;
use crate::figure::Figure;
use crate::process::Program;
use crate::sink::Mode;

const BODY_BYTES: usize = 4 << 20;
const BODIES: usize = 512;

/// Measures `rounds` times.
///
/// # Errors
/// When the sender fails.
pub fn measure(bench: &Bench<'_>, rounds: usize) -> Result<Vec<Figure>> {
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    let megabytes = (BODY_BYTES * BODIES) as f64 / 1e6;
    for _ in 0..rounds {
        bench.sink.reset(Mode::Discard);
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("flood").arg(bench.sink.address().to_string());
        let spent = Program::start("flood", &mut command, &bench.setup.log("flood"))?.join()?;
        wall.push(megabytes / spent.wall.as_secs_f64());
        cpu.push(megabytes / spent.cpu.total());
    }
    Ok(vec![
        Figure::new("sink/takes", "MB per second", wall),
        Figure::new("sink/costs-a-sender", "MB per sender's CPU s", cpu),
    ])
}

/// Sends bodies of nothing, one after the other.
///
/// # Errors
/// Those of the socket.
pub fn flood(address: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let body = vec![b' '; BODY_BYTES];
    let head =
        format!("POST / HTTP/1.1\r\nhost: {address}\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
    let mut answer = [0; 256];
    for _ in 0..BODIES {
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
        let _ = stream.read(&mut answer)?;
    }
    Ok(())
}
