//! Questions to PostgreSQL, asked inside its own container over the local socket: no password is
//! needed there, none can leak, and the client is of the server's version.

use anyhow::Context as _;
use serde_json::Value;

use crate::container::Container;
use crate::session::Session;

/// A question that waits on a lock must not hold up the operator.
const STATEMENT_TIMEOUT: &str = "set statement_timeout = '10s';\n";

/// The superuser that a container was made with.
pub fn superuser(container: &Container) -> &str {
    container
        .env
        .get("POSTGRES_USER")
        .map_or("postgres", String::as_str)
}

/// Asks one question that answers with one JSON value.
///
/// # Errors
/// With what psql complained of.
pub async fn ask(
    session: &Session,
    container: &Container,
    database: &str,
    sql: &str,
) -> anyhow::Result<Value> {
    let text = run(session, container, database, sql).await?;
    serde_json::from_str(text.trim())
        .with_context(|| format!("read the answer of {}", container.name))
}

/// Runs statements from stdin; the first that fails ends it.
///
/// # Errors
/// With what psql complained of.
pub async fn run(
    session: &Session,
    container: &Container,
    database: &str,
    sql: &str,
) -> anyhow::Result<String> {
    let user = superuser(container);
    let command = [
        "psql",
        "-wXAtq",
        "-v",
        "ON_ERROR_STOP=1",
        "-U",
        user,
        "-d",
        database,
        "-f",
        "-",
    ];
    let engine = session.engine().await?;
    let output = engine
        .exec(
            &container.name,
            &command,
            &format!("{STATEMENT_TIMEOUT}{sql}\n"),
        )
        .await?;
    if output.code != 0 {
        let why = session.redactor.clean(output.stderr.trim());
        anyhow::bail!(
            "psql in container {} ended with code {}: {why}",
            container.name,
            output.code
        );
    }
    Ok(output.stdout)
}
