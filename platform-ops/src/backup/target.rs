//! A server that sets are restored to: a throw-away one, or the live one.

use anyhow::{Context as _, bail};
use bollard::Docker;
use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use crate::backup::catalog::{self, Catalog};
use crate::backup::create::GLOBALS;
use crate::backup::exec::{self, Process, Program};
use crate::backup::manifest::{Database, Manifest, Object};
use crate::backup::open::Opener;
use crate::backup::psql::connection;
use crate::backup::server::Server;

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
fn object_of<'a>(manifest: &'a Manifest, name: &str) -> anyhow::Result<&'a Object> {
    match manifest.encryption {
        Some(_) => manifest.object(&format!("{name}.age")),
        None => manifest.object(name),
    }
}

/// A server that databases are restored to.
#[derive(Debug)]
pub struct Target {
    /// The server.
    pub server: Server,
    /// Jobs of pg_restore.
    pub jobs: usize,
}

impl Target {
    /// Makes the set's roles that are not there yet, and leaves alone those that are.
    ///
    /// # Errors
    /// The server's words.
    pub async fn globals(&self, opener: &Opener<'_>) -> anyhow::Result<()> {
        let object = object_of(opener.manifest, GLOBALS)?;
        let sql = opener.read(object, GLOBALS_BYTES_MAX).await?;
        let sql = String::from_utf8(sql).context("the roles are no text")?;
        #[derive(serde::Deserialize)]
        struct Role {
            line: String,
        }
        let roles: Vec<Role> = self
            .server
            .rows(
                "postgres",
                "select format('CREATE ROLE %I;', rolname) as line from pg_roles",
            )
            .await?;
        let is_there = |line: &&str| !roles.iter().any(|role| role.line == *line);
        let sql: Vec<&str> = sql.lines().filter(is_there).collect();
        let script = sql.join("\n") + "\n";
        self.server
            .script("postgres", &script)
            .await
            .context("make the roles")
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
        let failed = || format!("restore {} as {name}", database.name);
        let belongings = catalog.of(&database.name).with_context(failed)?;
        let object = opener.manifest.object(&database.object)?;
        let file = format!(
            "/tmp/platform-ops-{}.pgdump",
            crate::backup::create::file_name(name)
        );
        let container = &self.server.place().container;
        let docker = self.server.docker();
        let restored = async {
            put_file(docker, container, opener, object, &file).await?;
            // The one that is made cannot be connected to yet.
            let from = if name == "postgres" {
                "template1"
            } else {
                "postgres"
            };
            self.server
                .script(from, &belongings.create_sql(name))
                .await?;
            let command = [
                "pg_restore".to_owned(),
                "-w".to_owned(),
                "--exit-on-error".to_owned(),
                format!("--jobs={}", self.jobs.max(1)),
                "-d".to_owned(),
                connection(name),
                file.clone(),
            ];
            exec::text(docker, self.server.place().program(command), b"").await?;
            self.server
                .script("postgres", &belongings.apply_sql(name))
                .await
        };
        let restored = restored.await.with_context(failed);
        let removed = exec::text(docker, Program::new(container, ["rm", "-f", &file]), b"").await;
        restored?;
        removed.map(drop)
    }
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
    let mut process = Process::start(docker, program).await?;
    let Some(mut input) = process.take_input() else {
        bail!("no way into the container");
    };
    let (sender, mut pieces) = mpsc::channel::<Bytes>(4);
    let feed = async {
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
