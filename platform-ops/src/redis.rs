//! Questions to Redis, asked by its own client inside its container. The password goes over stdin
//! or stays in the container's file; as an argument it would stand in the engine's events.

use std::collections::BTreeMap;

use crate::container::Container;
use crate::session::Session;

/// Where the stack's own container has its password.
const PASSWORD_FILE: &str = "/etc/redis/password";

/// Runs commands, one a line, and returns what they answered.
///
/// # Errors
/// When the client cannot be run, or the server refuses the password.
pub async fn run(
    session: &Session,
    container: &Container,
    password: Option<&str>,
    commands: &str,
) -> anyhow::Result<String> {
    let engine = session.engine().await?;
    let output = match password {
        Some(password) => {
            let stdin = format!("{}\n{commands}\n", auth(password));
            engine.exec(&container.name, &["redis-cli"], &stdin).await?
        }
        None => {
            let script = format!(
                "test ! -r {PASSWORD_FILE} || export REDISCLI_AUTH=\"$(cat {PASSWORD_FILE})\"; exec redis-cli"
            );
            engine
                .exec(
                    &container.name,
                    &["sh", "-c", &script],
                    &format!("{commands}\n"),
                )
                .await?
        }
    };
    let answer = match password {
        Some(_) => output
            .stdout
            .trim_start()
            .strip_prefix("OK")
            .unwrap_or(&output.stdout),
        None => &output.stdout,
    };
    // INFO counts such errors by name: only the first line is the answer to AUTH or to a ping.
    let first = output
        .stdout
        .trim_start()
        .lines()
        .next()
        .unwrap_or_default();
    let refused = ["NOAUTH", "WRONGPASS", "ERR AUTH", "LOADING", "(error)"]
        .iter()
        .any(|word| first.starts_with(word));
    // With its commands on stdin the client ends with 0 though it never reached the server.
    if refused || first.is_empty() || output.code != 0 {
        let why = output
            .stdout
            .lines()
            .find(|line| !line.is_empty())
            .unwrap_or_default();
        let why = session
            .redactor
            .clean(&format!("{why} {}", output.stderr.trim()));
        anyhow::bail!(
            "redis-cli in container {} ended with code {}: {why}",
            container.name,
            output.code
        );
    }
    Ok(answer.trim_start().to_owned())
}

/// Whether the server takes this password, or none at all.
///
/// # Errors
/// When the client cannot be run.
pub async fn knows(
    session: &Session,
    container: &Container,
    password: &str,
) -> anyhow::Result<bool> {
    let stdin = format!("{}\n", auth(password));
    let engine = session.engine().await?;
    let output = engine.exec(&container.name, &["redis-cli"], &stdin).await?;
    let answer = output.stdout.trim();
    let is_asked_for_none = answer.contains("without any password configured");
    anyhow::ensure!(
        output.code == 0 && !answer.is_empty(),
        "redis-cli in container {} ended with code {}: {}",
        container.name,
        output.code,
        output.stderr.trim()
    );
    Ok(answer == "OK" || is_asked_for_none)
}

/// Quoted: redis-cli splits its lines as a shell does.
fn auth(password: &str) -> String {
    let password = password.replace('\\', "\\\\").replace('"', "\\\"");
    format!("AUTH \"{password}\"")
}

/// The fields of `INFO`.
pub fn info(text: &str) -> BTreeMap<String, String> {
    let fields = text
        .lines()
        .filter_map(|line| line.trim_end().split_once(':'));
    fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
