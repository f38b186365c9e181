//! `guard`, which nobody calls by hand: waits for the end of the run that started it.

use std::time::Duration;

use anyhow::Context as _;

use crate::backup::pooler::Pooler;
use crate::backup::throwaway;
use crate::exit::Exit;
use crate::guard::{Duty, left};
use crate::rotation;
use crate::session::Session;

/// The engine or the pooler may be starting.
const TRIES_MAX: u32 = 30;
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Reads what it is told until the run ends, then does what is left.
///
/// # Errors
/// When something could not be done after all tries; the audit log says what.
pub async fn run(session: &Session) -> anyhow::Result<Exit> {
    // Ctrl-C and the end of a terminal mean the run, not this.
    let _ = rustix::process::setsid();
    let lines = tokio::task::spawn_blocking(|| {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        left(lines)
    });
    let duties = lines.await.context("read from the run")?;
    let mut failed = None;
    for duty in duties {
        let done = again(session, &duty).await;
        let event = if done.is_ok() { "guard" } else { "failed" };
        let what = format!("{duty:?}");
        session.audit.record(event, &what)?;
        failed = failed.or(done.err());
    }
    failed.map_or(Ok(Exit::OK), Err)
}

async fn again(session: &Session, duty: &Duty) -> anyhow::Result<()> {
    let mut tries = 1;
    loop {
        match fulfil(session, duty).await {
            Err(_) if tries < TRIES_MAX => tries += 1,
            done => return done,
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

async fn fulfil(session: &Session, duty: &Duty) -> anyhow::Result<()> {
    match duty {
        Duty::Resume(database) => match Pooler::find(session).await? {
            Some(pooler) => pooler.resume(database).await,
            None => Ok(()),
        },
        Duty::ResumeAll => rotation::resume_all(session).await,
        Duty::Settle => rotation::settle(session).await,
        Duty::Remove(run) => throwaway::sweep(session.engine().await?.docker(), run).await,
        Duty::Start(container) => {
            let engine = session.engine().await?;
            // The stop that the run asked for may still be under way, and would win over a start.
            engine.stop(container).await?;
            engine.start(container).await
        }
    }
}
