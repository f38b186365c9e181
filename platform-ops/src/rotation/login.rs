//! Proof by logging in.

use std::time::Duration;

use anyhow::Context as _;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use super::Login;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where to log in.
#[derive(Clone, Debug)]
pub struct Door {
    /// For people.
    pub name: &'static str,
    /// Of the container.
    pub address: String,
    /// Of the server.
    pub port: u16,
    /// PgBouncer's own is its console.
    pub database: String,
}

impl Door {
    /// Whether a login is let in; `Ok(false)` only if the secret itself was refused.
    ///
    /// # Errors
    /// When the server does not answer, or with another complaint.
    pub async fn lets_in(&self, login: &Login) -> anyhow::Result<bool> {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&self.address)
            .port(self.port)
            .user(&login.user)
            .password(&login.secret)
            .dbname(&self.database)
            .application_name("platform-ops")
            .connect_timeout(ANSWER_TIMEOUT);
        let question = if self.database == "pgbouncer" {
            "SHOW VERSION"
        } else {
            "select 1"
        };
        let ask = async {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(async move { drop(connection.await) });
            client.simple_query(question).await.map(drop)
        };
        let failed = || format!("log in {} as {}", self.name, login.user);
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, ask).await;
        match answer.with_context(failed)? {
            Ok(()) => Ok(true),
            Err(error) if is_refusal(&error) => Ok(false),
            Err(error) => Err(error).with_context(failed),
        }
    }
}

/// Whether the secret was refused, or the role may not log in any more. PgBouncer has words of its
/// own for that, under a code that it uses for everything.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    let Some(error) = error.as_db_error() else {
        return false;
    };
    let codes = [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
    ];
    let words = ["authentication failed", "no such user"];
    codes.contains(error.code()) || words.iter().any(|word| error.message().contains(word))
}
