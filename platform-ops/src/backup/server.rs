//! The server that is backed up: what it is, what databases it has, and their snapshots.

use anyhow::Context as _;
use bollard::Docker;
use serde::Deserialize;

use crate::backup::manifest::{Cluster, Database, Extension, Sequence, Setting, Table};
use crate::backup::psql::{Place, Session};
use crate::failure::Failure;
use crate::sql::identifier;

/// Schemas that belong to the server itself.
const OWN_SCHEMAS: &str = "n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'";
/// Tables whose rows a dump holds: those of extensions come with the extension.
const TABLES: &str = "select n.nspname as schema, c.relname as name from pg_class c \
    join pg_namespace n on n.oid = c.relnamespace \
    where c.relkind = 'r' and c.relpersistence <> 't' and {own} and not exists \
      (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid \
       and d.deptype = 'e') order by 1, 2";

#[derive(Deserialize)]
struct Facts {
    system_identifier: String,
    version: String,
    bytes: u64,
}

#[derive(Deserialize)]
struct DatabaseRow {
    name: String,
    bytes: u64,
    encoding: String,
}

#[derive(Deserialize)]
struct Relation {
    schema: String,
    name: String,
}

/// A database that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its name.
    pub name: String,
    /// On disk.
    pub bytes: u64,
    /// Such as `UTF8`.
    pub encoding: String,
}

/// A server in a container.
#[derive(Clone, Debug)]
pub struct Server {
    docker: Docker,
    place: Place,
}

impl Server {
    /// The server at `place`; asks nothing yet.
    pub fn new(docker: Docker, place: Place) -> Self {
        Self { docker, place }
    }

    /// The engine.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Rows of a query in one database.
    ///
    /// # Errors
    /// The server's words.
    pub async fn rows<T: serde::de::DeserializeOwned>(
        &self,
        database: &str,
        sql: &str,
    ) -> anyhow::Result<Vec<T>> {
        self.place.rows(&self.docker, database, sql).await
    }

    /// Runs a script in one database.
    ///
    /// # Errors
    /// The server's words.
    pub async fn script(&self, database: &str, sql: &str) -> anyhow::Result<()> {
        self.place.script(&self.docker, database, sql).await
    }

    /// What the cluster is.
    ///
    /// # Errors
    /// The server's words.
    pub async fn cluster(&self) -> anyhow::Result<Cluster> {
        let facts: Vec<Facts> = self
            .rows(
                "postgres",
                "select system_identifier::text, current_setting('server_version') as version, \
                 (select coalesce(sum(pg_database_size(oid)), 0)::bigint from pg_database) as bytes \
                 from pg_control_system()",
            )
            .await?;
        let facts = facts
            .into_iter()
            .next()
            .context("the server says nothing of itself")?;
        // A setting can hold a secret only by these names.
        let settings: Vec<Setting> = self
            .rows(
                "postgres",
                "select name, setting as value from pg_settings \
                 where source not in ('default', 'override', 'client', 'session') \
                 and name !~* '(conninfo|command|password|passphrase|secret)' order by 1",
            )
            .await?;
        Ok(Cluster {
            system_identifier: facts.system_identifier,
            version: facts.version,
            superuser: self.place.user.clone(),
            bytes: facts.bytes,
            settings,
        })
    }

    /// Every database that can be connected to, by name.
    ///
    /// # Errors
    /// The server's words.
    pub async fn databases(&self) -> anyhow::Result<Vec<Live>> {
        let rows: Vec<DatabaseRow> = self
            .rows(
                "postgres",
                "select datname as name, pg_database_size(oid) as bytes, \
                 pg_encoding_to_char(encoding) as encoding from pg_database \
                 where datallowconn and not datistemplate order by datname",
            )
            .await?;
        let live = |row: DatabaseRow| Live {
            name: row.name,
            bytes: row.bytes,
            encoding: row.encoding,
        };
        Ok(rows.into_iter().map(live).collect())
    }

    /// Opens a snapshot of a database.
    ///
    /// # Errors
    /// The server's words.
    pub async fn snapshot(&self, database: Live) -> anyhow::Result<Snapshot> {
        let failed = || format!("open a snapshot of {}", database.name);
        let opened = async {
            let mut session = Session::open(&self.docker, &self.place, &database.name).await?;
            let lock_wait = self.place.lock_wait_seconds;
            let sql = format!(
                "set idle_in_transaction_session_timeout = 0; set statement_timeout = 0; \
                 set lock_timeout = '{lock_wait}s'; \
                 begin isolation level repeatable read read only; \
                 select pg_export_snapshot(); select pg_current_wal_lsn();"
            );
            let lines = session.lines(&sql).await?;
            anyhow::Ok((session, lines))
        };
        let (session, lines) = opened.await.with_context(failed)?;
        let [id, lsn] = &lines[..] else {
            return Err(Failure::refused(format!("{}: {lines:?}", failed())).into());
        };
        Ok(Snapshot {
            id: id.clone(),
            lsn: lsn.clone(),
            database,
            session,
        })
    }

    /// Ends every session of this run: a client that is gone leaves its backend at work.
    ///
    /// # Errors
    /// The server's words.
    pub async fn end_own_sessions(&self) -> anyhow::Result<()> {
        let name = crate::sql::literal(&self.place.application);
        let sql = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where application_name = {name} and pid <> pg_backend_pid();\n"
        );
        self.script("postgres", &sql).await
    }
}

impl Server {
    /// Ends the sessions of runs that were killed: their backends hold snapshots, and may dump on for
    /// nobody. Under the lock only, which their owners held.
    ///
    /// # Errors
    /// The server's words.
    pub async fn end_left_sessions(&self) -> anyhow::Result<()> {
        let name = crate::sql::literal(&self.place.application);
        let sql = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where application_name ~ '^platform-ops:[0-9]+$' and application_name <> {name};\n"
        );
        self.script("postgres", &sql).await
    }
}

fn quoted(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

/// A database as it was at one moment.
pub struct Snapshot {
    /// The database.
    pub database: Live,
    /// For `pg_dump --snapshot`.
    pub id: String,
    /// The write-ahead log's position at that moment.
    pub lsn: String,
    session: Session,
}

impl Snapshot {
    /// What it holds, but for the rows, which [`Self::count`] counts.
    ///
    /// # Errors
    /// The server's words.
    pub async fn inventory(&mut self, object: &str) -> anyhow::Result<Database> {
        let failed = format!("take the inventory of {}", self.database.name);
        self.look(object).await.context(failed)
    }

    /// Counts the rows of its tables.
    ///
    /// # Errors
    /// The server's words.
    pub async fn count(&mut self, tables: &mut [Table]) -> anyhow::Result<()> {
        for table in tables {
            let quoted = quoted(&table.schema, &table.name);
            let failed = || format!("count {quoted} of {}", self.database.name);
            let sql = format!("select count(*) from {quoted};");
            let lines = self.session.lines(&sql).await.with_context(failed)?;
            table.rows = lines.concat().parse().with_context(failed)?;
        }
        Ok(())
    }

    async fn look(&mut self, object: &str) -> anyhow::Result<Database> {
        let session = &mut self.session;
        let extensions: Vec<Extension> = session
            .rows("select extname as name, extversion as version from pg_extension order by 1")
            .await?;
        let sequences: Vec<Sequence> = session
            .rows(
                "select schemaname as schema, sequencename as name, last_value as last \
                 from pg_sequences order by 1, 2",
            )
            .await?;
        let sql = TABLES.replace("{own}", OWN_SCHEMAS);
        let relations: Vec<Relation> = session.rows(&sql).await?;
        let mut tables = Vec::with_capacity(relations.len());
        let mut alembic = Vec::new();
        for Relation { schema, name } in relations {
            let quoted = quoted(&schema, &name);
            if name == "alembic_version" {
                alembic = session
                    .lines(&format!("select version_num from {quoted};"))
                    .await?;
            }
            let rows = 0;
            tables.push(Table { schema, name, rows });
        }
        Ok(Database {
            name: self.database.name.clone(),
            object: object.to_owned(),
            bytes: self.database.bytes,
            lsn: self.lsn.clone(),
            encoding: self.database.encoding.clone(),
            grants: None,
            extensions,
            alembic,
            tables,
            sequences,
        })
    }

    /// Lets it go.
    ///
    /// # Errors
    /// When the session was lost: the dump may then be of another moment.
    pub async fn close(mut self) -> anyhow::Result<()> {
        let name = &self.database.name;
        let failed = format!("hold the snapshot of {name}");
        self.session
            .lines("commit;")
            .await
            .with_context(|| failed.clone())?;
        self.session.close().await.context(failed)
    }
}
