//! What only others know: Oracle Cloud, asked over the network. `status` does without.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::gap;
use crate::backup::config::Config;
use crate::backup::store::Store;
use crate::doctor::Facts;
use crate::service::Service;
use crate::session::Session;

/// For one question to Oracle Cloud, with its own attempts.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);
/// Whether the log takes an entry the running agent's status says; this writes none.
const AGENT_CHECK: [&str; 6] = [
    "/platform-agent",
    "check",
    "--json",
    "--no-send",
    "--config",
    "/etc/platform-agent/agent.toml",
];

/// Adds to the facts.
pub async fn gather_remote(session: &Session, facts: &mut Facts) {
    if let Err(error) = agent(session, facts).await {
        gap(session, facts, "agent check", &error);
    }
    if let Err(error) = bucket(session, facts).await {
        gap(session, facts, "backup.toml", &error);
    }
}

async fn agent(session: &Session, facts: &mut Facts) -> anyhow::Result<()> {
    let containers = facts.containers.get(&Service::Agent);
    let Some(container) = containers
        .and_then(|containers| containers.first())
        .filter(|container| container.is_running())
    else {
        return Ok(());
    };
    let engine = session.engine().await?;
    let asked = engine.exec(&container.name, &AGENT_CHECK, "");
    let output = tokio::time::timeout(6 * ANSWER_WAIT_MAX, asked)
        .await
        .context("no answer")??;
    // Its exit code is the verdict, which the answer holds, too.
    let answer: Value = serde_json::from_str(output.stdout.trim())
        .with_context(|| format!("read its answer: {}", output.stderr.trim()))?;
    facts.agent_check = Some(answer);
    Ok(())
}

async fn bucket(session: &Session, facts: &mut Facts) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let config = Config::load(&session.root)?;
    let Some(bucket) = config
        .bucket
        .as_ref()
        .filter(|_| config.directory.is_none())
    else {
        return Ok(());
    };
    let asked = async {
        match config.store(&session.root, None).await? {
            Store::Bucket { bucket, prefix } => {
                bucket.list_page(&prefix, None).await?;
                Ok(())
            }
            Store::Folder(_) => Ok(()),
        }
    };
    let answer = tokio::time::timeout(ANSWER_WAIT_MAX, asked).await;
    let answer = answer.unwrap_or_else(|_| {
        Err(anyhow::anyhow!(
            "no answer within {} s",
            ANSWER_WAIT_MAX.as_secs()
        ))
    });
    if let Err(error) = answer {
        let why = session.redactor.clean(&format!("{error:#}"));
        facts.bucket_error = Some((bucket.name.clone(), why));
    }
    Ok(())
}
