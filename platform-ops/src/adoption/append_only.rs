//! Makes a running Redis write its append-only file, from what it holds in memory.

use std::time::{Duration, Instant};

use crate::container::Container;
use crate::redis;
use crate::session::Session;

const WAIT_MAX: Duration = Duration::from_secs(600);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Switches it on and waits until it is written.
///
/// # Errors
/// When Redis refuses, or has not finished after ten minutes.
pub async fn switch_on(
    session: &Session,
    container: &Container,
    password: Option<&str>,
) -> anyhow::Result<()> {
    let answer = redis::run(session, container, password, "CONFIG SET appendonly yes").await?;
    anyhow::ensure!(
        answer.trim() == "OK",
        "CONFIG SET appendonly yes: {}",
        answer.trim()
    );
    let begin = Instant::now();
    loop {
        session.interrupt.check()?;
        let info =
            redis::info(&redis::run(session, container, password, "INFO persistence").await?);
        let is = |name: &str, value: &str| info.get(name).map(String::as_str) == Some(value);
        if is("aof_enabled", "1")
            && is("aof_rewrite_in_progress", "0")
            && is("aof_rewrite_scheduled", "0")
            && is("aof_last_bgrewrite_status", "ok")
        {
            return Ok(());
        }
        anyhow::ensure!(
            begin.elapsed() < WAIT_MAX,
            "the append-only file is not written after {} s",
            WAIT_MAX.as_secs()
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
