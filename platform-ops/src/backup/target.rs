//! A server that sets are restored to: a throw-away one, or the live one.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use bollard::Docker;
use bytes::Bytes;
use bytesize::ByteSize;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use crate::backup::catalog::{self, Belongings, Catalog};
use crate::backup::create::GLOBALS;
use crate::backup::exec::{self, Process, Program};
use crate::backup::globals::Globals;
use crate::backup::manifest::{Database, Manifest, Object};
use crate::backup::open::Opener;
use crate::backup::psql::connection;
use crate::backup::server::Server;
use crate::backup::swap::neighbour;
use crate::disk::FLOOR_BYTES;
use crate::failure::Failure;

const GLOBALS_BYTES_MAX: u64 = 64 << 20;

/// Owners, grants and settings of a set's databases.
///
/// # Errors
/// When they cannot be opened.
pub async fn read_catalog(opener: &Opener<'_>) -> anyhow::Result<Catalog> {
    let object = object_of(opener.manifest, catalog::OBJECT)?;
    let bytes = opener.read(object, GLOBALS_BYTES_MAX).await?;
    serde_json::from_slice(&bytes).context("read owners, grants and settings")
}

/// An object by its name without the ending of encryption.
pub(crate) fn object_of<'a>(manifest: &'a Manifest, name: &str) -> anyhow::Result<&'a Object> {
    match manifest.encryption {
        Some(_) => manifest.object(&format!("{name}.age")),
        None => manifest.object(name),
    }
}

/// Roles and tablespaces of a set.
///
/// # Errors
/// When they cannot be opened.
pub async fn read_globals(opener: &Opener<'_>) -> anyhow::Result<Globals> {
    let object = object_of(opener.manifest, GLOBALS)?;
    let sql = opener.read(object, GLOBALS_BYTES_MAX).await?;
    let sql = String::from_utf8(sql).context("the roles are no text")?;
    Ok(Globals::parse(&sql))
}

/// Where [`Target::put`] lays a dump.
pub fn file_of(database: &Database) -> String {
    let name = crate::backup::create::file_name(&database.name);
    format!("/tmp/platform-ops-{name}.pgdump")
}

/// A server that databases are restored to.
#[derive(Debug)]
pub struct Target {
    /// The server.
    pub server: Server,
    /// Jobs of pg_restore.
    pub jobs: usize,
}

#[derive(serde::Deserialize)]
struct Name {
    name: String,
}

#[derive(serde::Deserialize)]
struct Bytes64 {
    bytes: u64,
}

impl Target {
    /// Makes the set's roles and tablespaces that are not there yet, and leaves alone those that are.
    ///
    /// # Errors
    /// The server's words.
    pub async fn globals(&self, opener: &Opener<'_>) -> anyhow::Result<()> {
        let globals = read_globals(opener).await?;
        let roles = self.names("select rolname as name from pg_roles").await?;
        let spaces = "select spcname as name from pg_tablespace";
        let spaces = self.names(spaces).await?;
        self.server
            .script("postgres", &globals.missing(&roles, &spaces))
            .await
            .context("make the roles")
    }

    /// A column `name` of what the server has.
    pub(crate) async fn names(&self, sql: &str) -> anyhow::Result<BTreeSet<String>> {
        let rows: Vec<Name> = self.server.rows("postgres", sql).await?;
        Ok(rows.into_iter().map(|row| row.name).collect())
    }

    /// Restores a database under the name `name`, which must be free.
    ///
    /// # Errors
    /// pg_restore's words; then the half-made database is there, for the caller to drop.
    pub async fn restore(
        &self,
        opener: &Opener<'_>,
        catalog: &Catalog,
        database: &Database,
        name: &str,
    ) -> anyhow::Result<()> {
        let file = self.put(opener, database).await?;
        let restored = async {
            let belongings = self.create(catalog, database, name).await?;
            self.fill(name, &file, None).await?;
            self.server
                .script("postgres", &belongings.apply_sql(name))
                .await
        };
        let restored = restored
            .await
            .with_context(|| format!("restore {} as {name}", database.name));
        let removed = self.remove_files().await;
        restored?;
        removed
    }

    /// Lays a dump into the server's container, each byte compared: pg_restore's jobs need a file.
    ///
    /// # Errors
    /// When it is damaged, or there is no room for it.
    pub async fn put(&self, opener: &Opener<'_>, database: &Database) -> anyhow::Result<String> {
        let object = opener.manifest.object(&database.object)?;
        let file = file_of(database);
        let container = &self.server.place().container;
        put_file(self.server.docker(), container, opener, object, &file).await?;
        Ok(file)
    }

    /// Removes dumps from the server's container, those of killed runs as well.
    ///
    /// # Errors
    /// When the engine breaks off.
    pub async fn remove_files(&self) -> anyhow::Result<()> {
        let remove =
            "rm -f /tmp/platform-ops-*.pgdump /tmp/platform-ops-*.list /tmp/platform-ops-*.pipe";
        self.run(["sh", "-c", remove]).await.map(drop)
    }

    /// Makes an empty database for a dump; the set's owner, grants and settings of it.
    ///
    /// # Errors
    /// The server's words.
    pub async fn create<'a>(
        &self,
        catalog: &'a Catalog,
        database: &Database,
        name: &str,
    ) -> anyhow::Result<&'a Belongings> {
        let belongings = catalog.of(&database.name);
        let belongings = belongings
            .with_context(|| format!("the set does not say whose {} is", database.name))?;
        // The one that is made cannot be connected to yet.
        self.server
            .script(neighbour(name), &belongings.create_sql(name))
            .await?;
        Ok(belongings)
    }

    /// Fills an empty database from a dump in the container, or with the entries of `list` only.
    ///
    /// # Errors
    /// pg_restore's words.
    pub async fn fill(&self, name: &str, file: &str, list: Option<&str>) -> anyhow::Result<()> {
        let mut command = vec![
            "pg_restore".to_owned(),
            "-w".to_owned(),
            "--exit-on-error".to_owned(),
            format!("--jobs={}", self.jobs.max(1)),
        ];
        command.extend(list.map(|list| format!("--use-list={list}")));
        command.extend(["-d".to_owned(), connection(name), file.to_owned()]);
        let mut program = self.server.place().program(command);
        if !self.can_share_memory().await? {
            // Workers of an index build would need more of /dev/shm than there is.
            let option = "PGOPTIONS=-c max_parallel_maintenance_workers=0";
            program.environment.push(option.to_owned());
        }
        exec::text(self.server.docker(), program, b"")
            .await
            .map(drop)
    }

    /// Whether /dev/shm holds what parallel index builds may allocate: maintenance_work_mem.
    async fn can_share_memory(&self) -> anyhow::Result<bool> {
        let sql = "select setting::bigint * 1024 as bytes from pg_settings \
                   where name = 'maintenance_work_mem'";
        let wanted: Vec<Bytes64> = self.server.rows("postgres", sql).await?;
        let wanted = wanted.first().map_or(0, |row| row.bytes);
        Ok(self.free("/dev/shm").await?.bytes > wanted)
    }

    /// Room for `bytes` of databases and `file_bytes` of dumps beside what is there.
    ///
    /// # Errors
    /// `Exit::REFUSED` when there is less.
    pub async fn require_room(&self, bytes: u64, file_bytes: u64) -> anyhow::Result<()> {
        let folder = "select setting as name from pg_settings where name = 'data_directory'";
        let data = self
            .names(folder)
            .await?
            .into_iter()
            .next()
            .unwrap_or_default();
        let (data, files) = (self.free(&data).await?, self.free("/tmp").await?);
        let wanted = match data.device == files.device {
            true => [(data, bytes + file_bytes), (files, 0)],
            false => [(data, bytes), (files, file_bytes)],
        };
        for (there, bytes) in wanted {
            if bytes > 0 && there.bytes < bytes + FLOOR_BYTES {
                let what = format!(
                    "{} has {} free; the restore takes {}, and {} have to stay",
                    there.device,
                    ByteSize(there.bytes),
                    ByteSize(bytes),
                    ByteSize(FLOOR_BYTES)
                );
                return Err(Failure::refused(what)
                    .try_next("make room, or restore less")
                    .into());
            }
        }
        Ok(())
    }

    async fn free(&self, path: &str) -> anyhow::Result<Free> {
        let text = self.run(["df", "-Pk", path]).await?;
        let mut words = text.lines().nth(1).unwrap_or_default().split_whitespace();
        let device = words.next().unwrap_or_default().to_owned();
        let kilobytes = words.nth(2).and_then(|word| word.parse::<u64>().ok());
        let kilobytes = kilobytes.with_context(|| format!("df says of {path}: {text}"))?;
        Ok(Free {
            device,
            bytes: kilobytes.saturating_mul(1024),
        })
    }

    /// Runs a program in the server's container.
    pub(crate) async fn run<const N: usize>(&self, command: [&str; N]) -> anyhow::Result<String> {
        let program = Program::new(&self.server.place().container, command);
        exec::text(self.server.docker(), program, b"").await
    }
}

/// A file system of the server's container.
struct Free {
    device: String,
    bytes: u64,
}

/// Writes an object into a file of a container, whole or not at all.
///
/// # Errors
/// When it is damaged, or the container has no room.
pub async fn put_file(
    docker: &Docker,
    container: &str,
    opener: &Opener<'_>,
    object: &Object,
    file: &str,
) -> anyhow::Result<()> {
    let script = "umask 077; cat > \"$0\"";
    let mut program = Program::new(container, ["sh", "-c", script, file]);
    program.has_input = true;
    program.is_large = true;
    let mut process = Process::start(docker, program).await?;
    let Some(mut input) = process.take_input() else {
        bail!("no way into the container");
    };
    let (sender, mut pieces) = mpsc::channel::<Bytes>(4);
    // It ends the input, whatever it passes by, when it lets go of it.
    let feed = async move {
        let mut fed = Ok(());
        while let Some(piece) = pieces.recv().await {
            fed = input.write_all(&piece).await;
            if fed.is_err() {
                break;
            }
        }
        drop(pieces);
        let ended = input.shutdown().await;
        fed.and(ended)
    };
    let (opened, fed) = tokio::join!(opener.open(object, sender), feed);
    let finished = process.finish().await;
    match (opened, fed, finished) {
        // cat says why it takes no more: no space left, most likely.
        (_, _, Err(error)) => Err(error).with_context(|| format!("write {file} in the container")),
        (Err(error), _, _) => Err(error),
        (Ok(()), fed, Ok(_)) => fed.with_context(|| format!("write {file} in the container")),
    }
}
