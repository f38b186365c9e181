//! Single tables come back into a schema of their own beside the live tables: what is to become of the
//! rows is for SQL.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::contents::chosen;
use super::preparation::{self, Preparation};
use super::{Scene, drop_side};
use crate::backup::exec;
use crate::backup::manifest::{Database, Table};
use crate::backup::psql::connection;
use crate::backup::target::file_of;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Action, Effect, Plan};
use crate::session::Session;
use crate::side_name::{self, Side};
use crate::sql::{identifier, literal};

/// Where the tables lie between the two databases.
const FILE: &str = "/tmp/platform-ops-tables.pgdump";
const LIST: &str = "/tmp/platform-ops-tables.list";

/// A step of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Step {
    /// Restores the tables beside the live database, compares, and moves them into a new schema of it.
    Tables {
        /// The database.
        database: String,
        /// The tables.
        tables: Vec<String>,
        /// The schema.
        schema: String,
        /// A database that lives as long as this step.
        side: String,
        /// The tables.
        #[serde(skip)]
        wanted: Vec<Table>,
        /// What is shared.
        #[serde(skip)]
        scene: Arc<Scene>,
    },
    /// What comes first.
    #[serde(untagged)]
    Before(Preparation),
}

impl Action for Step {
    fn summary(&self) -> String {
        match self {
            Self::Before(step) => step.summary(),
            Self::Tables {
                database,
                tables,
                schema,
                ..
            } => {
                let tables = tables.join(", ");
                format!("restore {tables} into the new schema {schema} of {database}")
            }
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Before(step) => step.effect(),
            Self::Tables { .. } => Effect::Create,
        }
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Before(step) => step.apply(session).await,
            Self::Tables {
                database,
                schema,
                side,
                wanted,
                scene,
                ..
            } => {
                let work = Work {
                    scene,
                    database: scene.database(database)?,
                    wanted,
                    schema,
                    side,
                };
                let done = tokio::select! {
                    done = work.run() => done,
                    () = session.interrupt.wait() => Err(session.interrupt.failure().into()),
                };
                let dropped = drop_side(&scene.target.server, side).await;
                let removed = scene.target.remove_files().await;
                done.and(dropped).and(removed)
            }
        }
    }
}

struct Work<'a> {
    scene: &'a Scene,
    database: &'a Database,
    wanted: &'a [Table],
    schema: &'a str,
    side: &'a str,
}

#[derive(Deserialize)]
struct Parent {
    name: String,
}

impl Work<'_> {
    async fn run(&self) -> anyhow::Result<()> {
        let target = &self.scene.target;
        let file = file_of(self.database);
        let list = target.run(["pg_restore", "--list", &file]).await?;
        let list = chosen(&list, self.wanted);
        let write = ["sh", "-c", "umask 077; cat > \"$0\"", LIST];
        let write = exec::Program::new(&target.server.place().container, write);
        exec::text(target.server.docker(), write, list.as_bytes()).await?;
        target
            .create(&self.scene.catalog, self.database, self.side)
            .await?;
        target
            .fill(self.side, &file, Some(LIST))
            .await
            .context("restore the tables beside the live database")?;
        self.count(self.side, |table| table.schema.clone()).await?;
        self.move_tables().await?;
        let (schema, live) = (identifier(self.schema), connection(&self.database.name));
        // A pattern for pg_dump: quoted, it is a name.
        let dump = [
            "pg_dump", "-w", "-Fc", "-Z0", "-n", &schema, "-f", FILE, "-d",
        ];
        let dump = dump.into_iter().map(str::to_owned);
        let dump = dump.chain([connection(self.side)]);
        let place = target.server.place();
        exec::text(target.server.docker(), place.program(dump), b"").await?;
        // The schema appears whole or not at all.
        let load = [
            "pg_restore",
            "-w",
            "--exit-on-error",
            "--single-transaction",
            "-d",
            &live,
            FILE,
        ];
        exec::text(target.server.docker(), place.program(load), b"")
            .await
            .with_context(|| format!("make the schema in {}", self.database.name))?;
        self.count(&self.database.name, |_| self.schema.to_owned())
            .await
    }

    async fn count(&self, database: &str, schema: impl Fn(&Table) -> String) -> anyhow::Result<()> {
        for table in self.wanted {
            let name = format!("{}.{}", identifier(&schema(table)), identifier(&table.name));
            let sql = format!("select count(*) as rows from {name}");
            #[derive(Deserialize)]
            struct Count {
                rows: u64,
            }
            let found: Vec<Count> = self.scene.target.server.rows(database, &sql).await?;
            let rows = found.first().map_or(0, |count| count.rows);
            if rows != table.rows {
                let what = format!("{name} has {rows} rows instead of {}", table.rows);
                return Err(Failure::new(Exit::VERIFICATION_FAILED, what).into());
            }
        }
        Ok(())
    }

    /// Into the schema, freed of what they inherit from.
    async fn move_tables(&self) -> anyhow::Result<()> {
        let server = &self.scene.target.server;
        let mut sql = format!("begin;\ncreate schema {};\n", identifier(self.schema));
        for table in self.wanted {
            let name = format!("{}.{}", identifier(&table.schema), identifier(&table.name));
            let parents = format!(
                "select format('%I.%I', n.nspname, c.relname) as name from pg_inherits i \
                 join pg_class c on c.oid = i.inhparent join pg_namespace n on n.oid = c.relnamespace \
                 where i.inhrelid = {}::regclass and c.relkind = 'r'",
                literal(&name)
            );
            let parents: Vec<Parent> = server.rows(self.side, &parents).await?;
            for Parent { name: parent } in parents {
                sql += &format!("alter table {name} no inherit {parent};\n");
            }
            sql += &format!(
                "alter table {name} set schema {};\n",
                identifier(self.schema)
            );
        }
        sql += "commit;\n";
        server.script(self.side, &sql).await
    }
}

/// The plan of restoring tables, named as `schema.table`, or as `table` where that is enough.
///
/// # Errors
/// When the set does not hold one of them, or two of them have one name.
pub async fn plan(
    scene: Arc<Scene>,
    database: &str,
    tables: &[String],
) -> anyhow::Result<Plan<Step>> {
    let there = scene.database(database)?;
    let wanted: Vec<Table> = tables
        .iter()
        .map(|name| find(there, name).cloned())
        .collect::<anyhow::Result<_>>()?;
    let names: BTreeSet<&str> = wanted.iter().map(|table| table.name.as_str()).collect();
    if names.len() < wanted.len() {
        return Err(Failure::usage("two of the tables have the same name")
            .try_next("one by one")
            .into());
    }
    preparation::require(&scene, there).await?;
    let target = &scene.target;
    let live = target
        .names("select datname as name from pg_database")
        .await?;
    if !live.contains(database) {
        return Err(Failure::refused(format!("there is no database {database}"))
            .try_next(format!("platform-ops restore database {database}"))
            .into());
    }
    let stamp = side_name::stamp(live.iter().map(String::as_str))?;
    let schema = format!("restored_{stamp}");
    let mut plan = Plan::new("restore table");
    for step in preparation::steps(&scene, there).await? {
        plan.push(Step::Before(step));
    }
    plan.note(scene.origin());
    plan.note(format!(
        "foreign keys and triggers stay out of {schema}; when you are done: drop schema {schema} cascade;"
    ));
    plan.push(Step::Tables {
        database: database.to_owned(),
        tables: wanted.iter().map(full_name).collect(),
        schema,
        side: Side::Restore.name(database, &stamp),
        wanted,
        scene,
    });
    Ok(plan)
}

fn full_name(table: &Table) -> String {
    format!("{}.{}", table.schema, table.name)
}

fn find<'a>(database: &'a Database, name: &str) -> anyhow::Result<&'a Table> {
    let all = &database.tables;
    if let Some(table) = all.iter().find(|table| full_name(table) == name) {
        return Ok(table);
    }
    let found: Vec<&Table> = all.iter().filter(|table| table.name == name).collect();
    match &found[..] {
        [table] => Ok(table),
        [] => {
            let what = format!("the set's {} has no table {name}", database.name);
            let names: Vec<String> = all.iter().take(20).map(full_name).collect();
            let failure = Failure::new(Exit::NOTHING_TO_RESTORE, what);
            Err(failure
                .try_next(format!("such as: {}", names.join(", ")))
                .into())
        }
        several => {
            let names: Vec<String> = several.iter().map(|table| full_name(table)).collect();
            bail!(Failure::usage(format!(
                "{name} may be {}",
                names.join(" or ")
            )))
        }
    }
}
