//! A restored database against what the manifest says of it.

use anyhow::Context as _;
use serde::Deserialize;

use crate::backup::catalog::{Belongings, Catalog};
use crate::backup::manifest::{Database, Extension};
use crate::backup::server::{Live, Server};
use crate::sql::{identifier, literal};

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Found right.
    pub right: Vec<String>,
    /// Found wrong.
    pub wrong: Vec<String>,
}

impl Findings {
    /// Adds those of another look.
    pub fn extend(&mut self, other: Self) {
        self.right.extend(other.right);
        self.wrong.extend(other.wrong);
    }

    fn note(&mut self, what: String, wrong: Vec<String>) {
        if wrong.is_empty() {
            self.right.push(what);
        } else {
            self.wrong.extend(wrong);
        }
    }
}

/// Rows, sequences, extensions, alembic, owner, grants and settings of the database `name`.
///
/// # Errors
/// When it cannot be looked at; a difference is a finding.
pub async fn compare(
    server: &Server,
    name: &str,
    wanted: &Database,
    belongings: Option<&Belongings>,
) -> anyhow::Result<Findings> {
    let live = Live {
        name: name.to_owned(),
        bytes: 0,
        encoding: wanted.encoding.clone(),
    };
    let mut snapshot = server.snapshot(live).await?;
    let mut found = snapshot.inventory(&wanted.object).await?;
    snapshot.count(&mut found.tables).await?;
    snapshot.close().await?;
    let mut findings = Findings::default();
    let label = &wanted.name;
    rows(&mut findings, label, wanted, &found);
    sequences(&mut findings, label, wanted, &found);
    let mut wrong = Vec::new();
    for extension in &wanted.extensions {
        // Another version is what the image brings, and no fault of the backup.
        let is_there = |other: &Extension| other.name == extension.name;
        if !found.extensions.iter().any(is_there) {
            wrong.push(format!("{label}: extension {} is missing", extension.name));
        }
    }
    let names: Vec<&str> = wanted
        .extensions
        .iter()
        .map(|extension| extension.name.as_str())
        .collect();
    findings.note(format!("{label}: extensions {}", names.join(", ")), wrong);
    if !wanted.alembic.is_empty() {
        let same = wanted.alembic == found.alembic;
        let wrong = format!(
            "{label}: alembic_version {:?} instead of {:?}",
            found.alembic, wanted.alembic
        );
        let what = format!("{label}: alembic_version {}", wanted.alembic.join(", "));
        findings.note(what, if same { vec![] } else { vec![wrong] });
    }
    if let Some(wanted) = belongings {
        findings.extend(compare_belongings(server, name, wanted).await?);
    }
    Ok(findings)
}

fn rows(findings: &mut Findings, label: &str, wanted: &Database, found: &Database) {
    let mut wrong = Vec::new();
    for table in &wanted.tables {
        let there = found
            .tables
            .iter()
            .find(|other| (&other.schema, &other.name) == (&table.schema, &table.name));
        let name = format!("{}.{}", table.schema, table.name);
        match there {
            None => wrong.push(format!("{label}: table {name} is missing")),
            Some(other) if other.rows != table.rows => {
                wrong.push(format!(
                    "{label}: {name} has {} rows instead of {}",
                    other.rows, table.rows
                ));
            }
            Some(_) => {}
        }
    }
    let all: u64 = wanted.tables.iter().map(|table| table.rows).sum();
    findings.note(
        format!("{label}: {all} rows in {} tables", wanted.tables.len()),
        wrong,
    );
}

fn sequences(findings: &mut Findings, label: &str, wanted: &Database, found: &Database) {
    let mut wrong = Vec::new();
    for sequence in &wanted.sequences {
        let name = format!("{}.{}", sequence.schema, sequence.name);
        let there = found
            .sequences
            .iter()
            .find(|other| (&other.schema, &other.name) == (&sequence.schema, &sequence.name));
        // A sequence is outside of snapshots: it may have gone on before it was dumped.
        match there {
            None => wrong.push(format!("{label}: sequence {name} is missing")),
            Some(other) if other.last < sequence.last => {
                wrong.push(format!(
                    "{label}: {name} is at {:?}, behind {:?}",
                    other.last, sequence.last
                ));
            }
            Some(_) => {}
        }
    }
    findings.note(
        format!("{label}: {} sequences", wanted.sequences.len()),
        wrong,
    );
}

async fn compare_belongings(
    server: &Server,
    name: &str,
    wanted: &Belongings,
) -> anyhow::Result<Findings> {
    let catalog = Catalog::read(server).await?;
    let found = catalog
        .of(name)
        .with_context(|| format!("database {name} is gone"))?;
    let mut findings = Findings::default();
    let label = &wanted.name;
    let mut wrong = Vec::new();
    if found.owner != wanted.owner {
        wrong.push(format!(
            "{label}: owner {} instead of {}",
            found.owner, wanted.owner
        ));
    }
    let sorted = |grants: &Option<Vec<crate::backup::catalog::Grant>>| {
        let mut texts: Vec<String> = grants
            .iter()
            .flatten()
            .map(|grant| format!("{grant:?}"))
            .collect();
        texts.sort();
        texts
    };
    if wanted.grants.is_some() && sorted(&found.grants) != sorted(&wanted.grants) {
        wrong.push(format!("{label}: the grants on the database differ"));
    }
    if found.settings != wanted.settings {
        wrong.push(format!("{label}: the settings of the database differ"));
    }
    findings.note(format!("{label}: owner, grants and settings"), wrong);
    Ok(findings)
}

#[derive(Deserialize)]
struct Grants {
    digest: Option<String>,
}

/// A digest of all privileges on schemas, tables, sequences and functions of a database.
const GRANTS: &str = "select encode(sha256(convert_to(string_agg(line, E'\\n' order by line), 'UTF8')), 'hex') as digest from ( \
    select format('%s %s.%s owner=%s %s %s %s', c.relkind, n.nspname, c.relname, pg_get_userbyid(c.relowner), \
        case when a.grantee <> 0 then pg_get_userbyid(a.grantee) else 'public' end, a.privilege_type, a.is_grantable) as line \
      from pg_class c join pg_namespace n on n.oid = c.relnamespace, \
        aclexplode(coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's'::\"char\" else 'r'::\"char\" end, c.relowner))) a \
      where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') \
    union all select format('schema %s owner=%s %s %s %s', n.nspname, pg_get_userbyid(n.nspowner), \
        case when a.grantee <> 0 then pg_get_userbyid(a.grantee) else 'public' end, a.privilege_type, a.is_grantable) \
      from pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a \
      where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema') lines";

/// See `GRANTS`; the same on both sides of a restore.
///
/// # Errors
/// The server's words.
pub async fn grants(server: &Server, name: &str) -> anyhow::Result<Option<String>> {
    let rows: Vec<Grants> = server.rows(name, GRANTS).await.context("read the grants")?;
    Ok(rows.into_iter().next().and_then(|row| row.digest))
}

#[derive(Deserialize)]
struct Column {
    schema: String,
    table: String,
    column: String,
}

/// Looks inside of every index, and asks every vector column for its nearest rows. Changes the
/// database: for throw-away ones.
///
/// # Errors
/// When it cannot be looked at.
pub async fn probe(server: &Server, name: &str, label: &str) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    let amcheck = "create extension if not exists amcheck;\n\
        do $$ declare i record; begin for i in \
          select c.oid, c.relname from pg_index x join pg_class c on c.oid = x.indexrelid \
          join pg_am a on a.oid = c.relam \
          where a.amname = 'btree' and c.relpersistence <> 't' and x.indisready and x.indisvalid \
        loop perform bt_index_check(i.oid, true); end loop; end $$;\n";
    let checked = server.script(name, amcheck).await;
    let wrong = checked
        .err()
        .map(|error| format!("{label}: amcheck: {error:#}"));
    findings.note(
        format!("{label}: every B-tree holds its table's rows"),
        wrong.into_iter().collect(),
    );
    let vectors: Vec<Column> = server
        .rows(
            name,
            "select n.nspname as schema, c.relname as table, a.attname as column from pg_attribute a \
             join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace \
             join pg_type t on t.oid = a.atttypid \
             where t.typname = 'vector' and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped",
        )
        .await?;
    for vector in &vectors {
        let table = format!(
            "{}.{}",
            identifier(&vector.schema),
            identifier(&vector.table)
        );
        let column = identifier(&vector.column);
        let shown = literal(&format!("{table}.{column}"));
        let sql = format!(
            "do $$ begin if exists (select 1 from {table} where {column} is not null) and not exists \
             (select 1 from {table} order by {column} <-> (select {column} from {table} \
              where {column} is not null limit 1) limit 1) \
             then raise exception 'no nearest row in %', {shown}; end if; end $$;\n"
        );
        let asked = server.script(name, &sql).await;
        let wrong = asked.err().map(|error| format!("{label}: {error:#}"));
        findings.note(
            format!("{label}: nearest rows by {table}.{column}"),
            wrong.into_iter().collect(),
        );
    }
    Ok(findings)
}
