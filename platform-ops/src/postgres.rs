//! Questions to PostgreSQL, asked inside its own container over the local socket: no password is
//! needed there, none can leak, and the client is of the server's version.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::container::Container;
use crate::service::Service;
use crate::session::Session;
use crate::settings::Settings;

const LOGIN_TIMEOUT: Duration = Duration::from_secs(5);

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

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The server does not take this user with this password.
    #[error("{0}")]
    Refused(String),
    /// Something else, with the server's own words.
    #[error("{0}")]
    Failed(String),
}

/// Logs in over the bridge, as an application does, and asks for something.
///
/// # Errors
/// Refused, or whatever else stood in the way; never with the password.
pub async fn login(
    address: &str,
    port: u16,
    user: &str,
    password: &str,
    database: &str,
) -> Result<(), LoginError> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(address)
        .port(port)
        .user(user)
        .password(password)
        .dbname(database)
        .application_name("platform-ops")
        .connect_timeout(LOGIN_TIMEOUT);
    let login = async {
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(async move { drop(connection.await) });
        client.simple_query("select 1").await?;
        Ok::<_, tokio_postgres::Error>(())
    };
    let done = tokio::time::timeout(2 * LOGIN_TIMEOUT, login).await;
    let done = done.map_err(|_| LoginError::Failed("no answer".to_owned()))?;
    done.map_err(|error| {
        let is_refused = error.code().is_some_and(|code| {
            [
                SqlState::INVALID_PASSWORD,
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            ]
            .contains(code)
        });
        // The server's own words are one level down.
        let words = match std::error::Error::source(&error) {
            Some(cause) => cause.to_string(),
            None => error.to_string(),
        };
        if is_refused {
            LoginError::Refused(words)
        } else {
            LoginError::Failed(words)
        }
    })
}

/// The keys of platform.env whose password is not the one that the database knows. Roles that are
/// not there, or have no password, are passed over.
///
/// # Errors
/// When the database does not answer.
pub async fn refused_keys(
    session: &Session,
    settings: &Settings,
    container: &Container,
) -> anyhow::Result<Vec<String>> {
    let sql = "select coalesce(json_agg(rolname), '[]') from pg_authid where rolcanlogin and rolpassword is not null";
    let roles: Vec<String> =
        serde_json::from_value(ask(session, container, "postgres", sql).await?)?;
    let address = container
        .address(&settings.names.network)
        .with_context(|| format!("container {} has no address", container.name))?;
    let admin = (settings.postgres_user.as_str(), "POSTGRES_PASSWORD");
    let apps = settings.app_roles.iter();
    let apps = apps.map(|role| (role.user.as_str(), role.key.as_str()));
    let port = Service::Postgres.port().unwrap_or_default();
    let mut refused = Vec::new();
    for (user, key) in std::iter::once(admin).chain(apps) {
        if !roles.iter().any(|role| role == user) {
            continue;
        }
        let password = settings.environment.get_or(key, "");
        if let Err(LoginError::Refused(_)) = login(address, port, user, &password, "postgres").await
        {
            refused.push(key.to_owned());
        }
    }
    Ok(refused)
}
