//! What a live database was given since a set was made.

use std::time::Duration;

use serde::Deserialize;

use super::Scene;
use crate::backup::manifest::{Database, Sequence, Table};
use crate::backup::server::{Live, Server};
use crate::sql::{identifier, literal};

/// How long the plan may count the live database's rows.
const COUNT_MAX: Duration = Duration::from_secs(60);
/// Differences of one kind that a plan names.
const NAMED_MAX: usize = 20;

#[derive(Deserialize)]
struct Behind {
    bytes: Option<i64>,
}

/// What was written since the set, and will be only in the database that is kept.
///
/// # Errors
/// The server's words.
pub(super) async fn discarded(scene: &Scene, wanted: &Database) -> anyhow::Result<Vec<String>> {
    let server = &scene.target.server;
    let cluster = server.cluster().await?;
    let mut notes = vec![format!(
        "what {} was given since {} is discarded (it stays in the database that is kept)",
        wanted.name,
        scene.manifest().created
    )];
    if cluster.system_identifier == scene.manifest().cluster.system_identifier {
        let sql = format!(
            "select pg_wal_lsn_diff(pg_current_wal_lsn(), {})::bigint as bytes",
            literal(&wanted.lsn)
        );
        let behind: Vec<Behind> = server.rows("postgres", &sql).await?;
        if let Some(bytes) = behind.first().and_then(|row| row.bytes) {
            notes.push(format!(
                "the server wrote {bytes} bytes of log since then, of all databases"
            ));
        }
    }
    match tokio::time::timeout(COUNT_MAX, now(server, wanted)).await {
        Ok(now) => notes.extend(differences(wanted, &now?)),
        Err(_) => notes.push(format!(
            "the rows of now were not counted within {} s",
            COUNT_MAX.as_secs()
        )),
    }
    Ok(notes)
}

async fn now(server: &Server, wanted: &Database) -> anyhow::Result<Database> {
    let live = Live {
        name: wanted.name.clone(),
        bytes: 0,
        encoding: wanted.encoding.clone(),
    };
    let mut snapshot = server.snapshot(live).await?;
    let found = snapshot.inventory(&wanted.object).await?;
    snapshot.close().await?;
    Ok(found)
}

/// Tables and sequences that went on, as far as numbers show it.
fn differences(then: &Database, now: &Database) -> Vec<String> {
    let mut named: Vec<String> = Vec::new();
    let key = |table: &Table| (table.schema.clone(), table.name.clone());
    for table in &now.tables {
        let before = then.tables.iter().find(|other| key(other) == key(table));
        let name = format!("{}.{}", identifier(&table.schema), identifier(&table.name));
        match before {
            None => named.push(format!(
                "table {name} is not in the set ({} rows)",
                table.rows
            )),
            Some(before) if before.rows != table.rows => {
                named.push(format!(
                    "{name} has {} rows, {} in the set",
                    table.rows, before.rows
                ));
            }
            Some(_) => {}
        }
    }
    let key = |sequence: &Sequence| (sequence.schema.clone(), sequence.name.clone());
    for sequence in &now.sequences {
        let before = then
            .sequences
            .iter()
            .find(|other| key(other) == key(sequence));
        if let (Some(before), Some(last)) = (before, sequence.last)
            && before.last != Some(last)
        {
            let name = format!(
                "{}.{}",
                identifier(&sequence.schema),
                identifier(&sequence.name)
            );
            let before = before.last.unwrap_or(0);
            named.push(format!("sequence {name} is at {last}, {before} in the set"));
        }
    }
    let more = named.len().saturating_sub(NAMED_MAX);
    named.truncate(NAMED_MAX);
    if more > 0 {
        named.push(format!("and {more} more tables and sequences"));
    }
    let none = "no table has another number of rows; rows that were changed do not show";
    if named.is_empty() {
        named.push(none.to_owned());
    }
    named
}
