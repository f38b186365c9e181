//! A psql that runs inside the server's own container, over the socket that trusts it.
//!
//! SQL goes in by standard input, never as an argument: arguments are published by the engine.

use anyhow::{Context as _, bail};
use bollard::Docker;
use serde::de::DeserializeOwned;

use crate::backup::exec::{self, Process, Program};

/// Where the databases are.
#[derive(Clone, Debug)]
pub struct Place {
    /// The server's container.
    pub container: String,
    /// A superuser.
    pub user: String,
    /// `application_name` of every session, so that orphans can be found.
    pub application: String,
    /// How long to wait for a lock on a table, in seconds.
    pub lock_wait_seconds: u32,
}

/// [`Place::lock_wait_seconds`] where nothing else is configured.
pub const LOCK_WAIT_SECONDS: u32 = 60;

impl Place {
    /// A program of PostgreSQL in the container, with its variables set.
    pub fn program<S: Into<String>>(&self, command: impl IntoIterator<Item = S>) -> Program {
        let mut program = Program::new(&self.container, command);
        program.environment = vec![
            format!("PGAPPNAME={}", self.application),
            format!("PGUSER={}", self.user),
            "PGCONNECT_TIMEOUT=20".to_owned(),
            "PGCLIENTENCODING=UTF8".to_owned(),
        ];
        program
    }

    /// Runs a script in one database, each statement by itself, up to the first error.
    ///
    /// # Errors
    /// The server's words.
    pub async fn script(&self, docker: &Docker, database: &str, sql: &str) -> anyhow::Result<()> {
        let program = self.program(psql_command(database));
        exec::text(docker, program, sql.as_bytes()).await?;
        Ok(())
    }

    /// The rows of a query, each read from a JSON object.
    ///
    /// # Errors
    /// The server's words, or rows of another shape.
    pub async fn rows<T: DeserializeOwned>(
        &self,
        docker: &Docker,
        database: &str,
        sql: &str,
    ) -> anyhow::Result<Vec<T>> {
        let program = self.program(psql_command(database));
        let text = exec::text(docker, program, as_json(sql).as_bytes()).await?;
        serde_json::from_str(text.trim()).with_context(|| format!("read the rows of {sql}"))
    }
}

/// A database name for `-d`, where a text with `=` would be read as more than a name.
pub fn connection(name: &str) -> String {
    format!(
        "dbname='{}'",
        name.replace('\\', "\\\\").replace('\'', "\\'")
    )
}

fn psql_command(database: &str) -> Vec<String> {
    let command = ["psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-d"];
    let mut command = command.map(str::to_owned).to_vec();
    command.push(connection(database));
    command
}

/// One line: an array of the rows as objects. jsonb, for json_agg breaks lines.
fn as_json(sql: &str) -> String {
    format!("select coalesce(jsonb_agg(to_jsonb(t)), '[]') from ({sql}) t;\n")
}

/// A session that stays open: it can hold a snapshot.
pub struct Session {
    process: Process,
    marker: String,
    pending: Vec<u8>,
}

impl Session {
    /// Connects to a database.
    ///
    /// # Errors
    /// When psql cannot be started; a refused connection shows at the first query.
    pub async fn open(docker: &Docker, place: &Place, database: &str) -> anyhow::Result<Self> {
        let mut program = place.program(psql_command(database));
        program.has_input = true;
        Ok(Self {
            process: Process::start(docker, program).await?,
            marker: format!("--end-of-{}--", place.application),
            pending: Vec::new(),
        })
    }

    /// Runs statements and returns the lines that they print.
    ///
    /// # Errors
    /// The server's words.
    pub async fn lines(&mut self, sql: &str) -> anyhow::Result<Vec<String>> {
        let text = format!("{sql}\n\\echo {}\n", self.marker);
        self.process.write(text.as_bytes()).await?;
        let mut lines = Vec::new();
        loop {
            while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line[..end]).into_owned();
                if line == self.marker {
                    return Ok(lines);
                }
                lines.push(line);
            }
            match self.process.next().await? {
                Some(bytes) => self.pending.extend_from_slice(&bytes),
                None => bail!("psql: {}", self.process.stderr()),
            }
        }
    }

    /// The rows of a query, each read from a JSON object.
    ///
    /// # Errors
    /// The server's words, or rows of another shape.
    pub async fn rows<T: DeserializeOwned>(&mut self, sql: &str) -> anyhow::Result<Vec<T>> {
        let lines = self.lines(&as_json(sql)).await?;
        serde_json::from_str(&lines.concat()).with_context(|| format!("read the rows of {sql}"))
    }

    /// Ends the session.
    ///
    /// # Errors
    /// When psql ended with an error.
    pub async fn close(self) -> anyhow::Result<()> {
        self.process.finish().await.map(drop)
    }
}
