//! Extensions: only a superuser can make most of them, pgvector among these.

use anyhow::Context as _;
use serde::Deserialize;

use crate::backup::server::Server;
use crate::failure::Failure;
use crate::sql::identifier;

#[derive(Deserialize)]
struct Name {
    name: String,
}

async fn names(server: &Server, database: &str, sql: &str) -> anyhow::Result<Vec<String>> {
    let rows: Vec<Name> = server.rows(database, sql).await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// Those of a database that are not in every one.
///
/// # Errors
/// The server's words.
pub async fn of(server: &Server, database: &str) -> anyhow::Result<Vec<String>> {
    let sql = "select extname as name from pg_extension where extname <> 'plpgsql' order by 1";
    names(server, database, sql).await
}

/// Makes those that are not there.
///
/// # Errors
/// The server's words.
pub async fn create(server: &Server, database: &str, wanted: &[String]) -> anyhow::Result<()> {
    let create = |name: &String| format!("create extension if not exists {};\n", identifier(name));
    let sql: String = wanted.iter().map(create).collect();
    let created = server.script(database, &sql).await;
    created.with_context(|| format!("make the extensions of {database}"))
}

/// Refuses before the start what the server's image does not have.
///
/// # Errors
/// Names what is missing.
pub async fn require(server: &Server, wanted: &[String]) -> anyhow::Result<()> {
    let available = names(
        server,
        "postgres",
        "select name from pg_available_extensions",
    )
    .await?;
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|name| !available.contains(name))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!(
        "this server's image lacks extensions: {}",
        missing.join(", ")
    );
    Err(Failure::refused(what)
        .try_next("another PLATFORM_POSTGRES_IMAGE, or --extension with others")
        .into())
}
