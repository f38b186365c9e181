//! Redis: a consistent RDB through its replication protocol; nothing is written on the host.

use anyhow::{Context as _, bail};
use bollard::Docker;
use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc::Sender;

use crate::backup::container::Container;
use crate::backup::exec::{self, Process, Program};
use crate::backup::manifest;
use crate::backup::stream::send;

/// The object's name within a set.
pub const OBJECT: &str = "redis.rdb.zst";

const MAGIC: &[u8] = b"REDIS";
/// The opcode that ends an RDB; eight bytes of CRC64 follow.
const END: u8 = 0xFF;
const END_BYTES: usize = 9;
/// redis-cli leaves the replication protocol's end mark behind the RDB when it writes to a pipe.
const MARK_BYTES: usize = 40;

/// Redis in a container.
#[derive(Clone, Debug)]
pub struct Redis {
    docker: Docker,
    container: Container,
    password: Option<String>,
}

impl Redis {
    /// Redis in `container`, which wants `password`.
    pub fn new(docker: Docker, container: Container, password: Option<String>) -> Self {
        Self {
            docker,
            container,
            password,
        }
    }

    /// Its container.
    pub fn container(&self) -> &Container {
        &self.container
    }

    fn program(&self, arguments: &[&str]) -> Program {
        // -e: without it an error of the server exits with 0.
        let command = ["redis-cli", "-e"].iter().chain(arguments).copied();
        let mut program = Program::new(&self.container.id, command);
        if let Some(password) = &self.password {
            program
                .environment
                .push(format!("REDISCLI_AUTH={password}"));
        }
        program
    }

    async fn ask(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let text = exec::text(&self.docker, self.program(arguments), b"").await;
        let text = text.with_context(|| format!("ask Redis for {}", arguments.join(" ")))?;
        Ok(text.replace('\r', ""))
    }

    /// Keys of all its databases.
    ///
    /// # Errors
    /// Redis's words: a wrong password, most likely.
    pub async fn keys(&self) -> anyhow::Result<u64> {
        let info = self.ask(&["info", "keyspace"]).await?;
        Ok(keys_in(&info))
    }

    /// Whether it keeps an append-only file.
    ///
    /// # Errors
    /// Redis's words.
    pub async fn appends(&self) -> anyhow::Result<bool> {
        let answer = self.ask(&["config", "get", "appendonly"]).await?;
        Ok(answer.lines().any(|line| line == "yes"))
    }

    /// What is known before and after the save.
    ///
    /// # Errors
    /// Redis's words.
    pub async fn describe(&self, keys: [u64; 2]) -> anyhow::Result<manifest::Redis> {
        let info = self.ask(&["info", "server"]).await?;
        let version = info
            .lines()
            .find_map(|line| line.strip_prefix("redis_version:"));
        let modules = self.ask(&["module", "list"]).await?;
        let mut lines = modules.lines();
        let mut names = Vec::new();
        while let Some(line) = lines.next() {
            if line == "name" {
                names.extend(lines.next().map(str::to_owned));
            }
        }
        Ok(manifest::Redis {
            version: version
                .context("Redis does not say its version")?
                .to_owned(),
            object: OBJECT.to_owned(),
            keys,
            modules: names,
        })
    }

    /// Sends an RDB of this moment.
    ///
    /// # Errors
    /// redis-cli's words and exit code; a stream that is no whole RDB.
    pub async fn save(&self, sink: Sender<Bytes>) -> anyhow::Result<()> {
        let mut process = Process::start(&self.docker, self.program(&["--rdb", "-"])).await?;
        let mut tail = Tail::default();
        while let Some(piece) = process.next().await? {
            if let Some(ready) = tail.push(&piece) {
                send(&sink, ready).await?;
            }
        }
        process.finish().await.context("save Redis")?;
        let rest = tail.finish().context("save Redis")?;
        send(&sink, rest).await
    }
}

/// Keys of all databases, as `INFO keyspace` tells them.
pub fn keys_in(info: &str) -> u64 {
    let keys = |line: &str| -> Option<u64> {
        let (_, rest) = line.split_once(":keys=")?;
        rest.split(',').next()?.parse().ok()
    };
    info.lines().filter_map(keys).sum()
}

/// Holds the end of an RDB back until it is known to be the end.
#[derive(Default)]
struct Tail {
    held: BytesMut,
    began: bool,
    is_rdb: bool,
}

impl Tail {
    fn push(&mut self, piece: &[u8]) -> Option<Bytes> {
        self.held.extend_from_slice(piece);
        if !self.began && self.held.len() >= MAGIC.len() {
            self.began = true;
            self.is_rdb = self.held.starts_with(MAGIC);
        }
        let ready = self.held.len().saturating_sub(END_BYTES + MARK_BYTES);
        (ready > 0).then(|| self.held.split_to(ready).freeze())
    }

    fn finish(mut self) -> anyhow::Result<Bytes> {
        let length = self.held.len();
        let ends_at = |end: usize| end >= END_BYTES && self.held[end - END_BYTES] == END;
        let without_mark = length.saturating_sub(MARK_BYTES);
        let marked =
            ends_at(without_mark) && self.held[without_mark..].iter().all(u8::is_ascii_hexdigit);
        if !self.is_rdb || !(marked || ends_at(length)) {
            bail!("redis-cli succeeded, and what it wrote is no whole RDB");
        }
        if marked {
            self.held.truncate(without_mark);
        }
        Ok(self.held.freeze())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn through(pieces: &[&[u8]]) -> anyhow::Result<Vec<u8>> {
        let mut tail = Tail::default();
        let mut all = Vec::new();
        for piece in pieces {
            all.extend(tail.push(piece).into_iter().flatten());
        }
        all.extend(tail.finish()?);
        Ok(all)
    }

    #[test]
    fn the_mark_after_the_end_is_taken_off() {
        let rdb = [b"REDIS0011abc\xff", &[7_u8; 8][..]].concat();
        let mark = [b'a'; MARK_BYTES];
        assert_eq!(through(&[&rdb, &mark]).unwrap(), rdb);
        assert_eq!(through(&[&rdb[..3], &rdb[3..]]).unwrap(), rdb);
        let whole = [&rdb[..], &mark].concat();
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(through(&bytes).unwrap(), rdb);
    }

    #[test]
    fn what_is_cut_or_no_rdb_is_refused() {
        let rdb = [b"REDIS0011abc\xff", &[7_u8; 8][..]].concat();
        for bad in [&rdb[..rdb.len() - 1], b"", b"(error) NOAUTH", &rdb[1..]] {
            assert!(through(&[bad]).is_err(), "{bad:?}");
        }
    }
}
