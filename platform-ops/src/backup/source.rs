//! Where a set's bytes come from: pg_dump and pg_dumpall of the server's own version, run inside
//! its container.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use tokio::sync::mpsc::Sender;

use crate::backup::config::Limits;
use crate::backup::exec::{Process, Program};
use crate::backup::psql::connection;
use crate::backup::server::Server;
use crate::backup::stream::send;

/// What every archive of pg_dump's custom format begins with.
const ARCHIVE_MAGIC: &[u8] = b"PGDMP";
/// Dumps one database as of a snapshot.
///
/// # Errors
/// pg_dump's words and exit code; a stream that is no archive.
pub async fn dump(
    server: &Server,
    database: &str,
    snapshot: &str,
    limits: Limits,
    sink: Sender<Bytes>,
) -> anyhow::Result<()> {
    // Beside what trades, a backup has time.
    let nice = ["nice", "-n", &limits.dump_nice.to_string()].map(str::to_owned);
    let mut command = nice.to_vec();
    command.extend(["pg_dump", "-w", "-Fc", "-Z", "zstd:1"].map(str::to_owned));
    let lock_wait = server.place().lock_wait_seconds;
    command.push(format!("--lock-wait-timeout={lock_wait}s"));
    command.push(format!("--snapshot={snapshot}"));
    command.extend(["-d".to_owned(), connection(database)]);
    let mut program = server.place().program(command);
    program.is_large = true;
    stream(server, program, Some(ARCHIVE_MAGIC), limits.dump_cpus, sink)
        .await
        .with_context(|| format!("dump {database}"))
}

/// Roles and tablespaces, with the roles' password verifiers.
///
/// # Errors
/// pg_dumpall's words and exit code.
pub async fn globals(server: &Server, sink: Sender<Bytes>) -> anyhow::Result<()> {
    let program = server
        .place()
        .program(["pg_dumpall", "-w", "--globals-only"]);
    stream(server, program, None, None, sink)
        .await
        .context("dump the roles")
}

async fn stream(
    server: &Server,
    program: Program,
    magic: Option<&[u8]>,
    cpus: Option<usize>,
    sink: Sender<Bytes>,
) -> anyhow::Result<()> {
    let mut process = Process::start(server.docker(), program).await?;
    if let Some(cpus) = cpus {
        process.limit_cpus(cpus).await?;
    }
    let mut head: Vec<u8> = Vec::new();
    let mut bytes = 0;
    while let Some(piece) = process.next().await? {
        if head.len() < ARCHIVE_MAGIC.len() {
            head.extend(piece.iter().take(ARCHIVE_MAGIC.len() - head.len()));
        }
        bytes += piece.len();
        send(&sink, piece).await?;
    }
    // The end of the stream says nothing: the exit code does.
    process.finish().await?;
    if bytes == 0 || magic.is_some_and(|magic| head != magic) {
        bail!("the program succeeded, and what it wrote ({bytes} bytes) is no dump");
    }
    Ok(())
}
