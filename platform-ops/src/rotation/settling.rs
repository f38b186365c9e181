//! After a kill, before the next run: PgBouncer logs in with the password that PostgreSQL takes.

use std::time::Duration;

use super::pooler;
use super::{Journal, Rotation, Way};
use crate::container::Container;
use crate::pooler::Console;
use crate::service::Service;
use crate::session::Session;
use crate::settings::Settings;

/// Nothing is waited for here.
const NO_WAITS: [Duration; 2] = [Duration::ZERO; 2];

/// Brings userlist.txt in line with PostgreSQL where a rotation was cut short, and lets PgBouncer's
/// clients go on. The rotation stays cut short: platform.env and the applications are for the run
/// that finishes it. It can be repeated.
///
/// # Errors
/// When a server does not answer.
pub async fn settle(session: &Session) -> anyhow::Result<()> {
    let settings = Settings::load(session)?;
    let journal = Journal::load(session)?;
    if let Some(journal) = journal.filter(|journal| journal.way == Way::SameRole) {
        let rotation = Rotation::prepare(session, &settings, journal, false, NO_WAITS).await?;
        rotation.follow(session).await?;
    }
    resume_all(session).await
}

/// Lets PgBouncer read its files and all its clients go on, if it runs.
///
/// # Errors
/// When it does not answer.
pub async fn resume_all(session: &Session) -> anyhow::Result<()> {
    let settings = Settings::load(session)?;
    let Some(name) = settings.names.containers.get(&Service::Pgbouncer) else {
        return Ok(());
    };
    let container = session.engine().await?.container(name).await?;
    let Some(container) = container.filter(Container::is_running) else {
        return Ok(());
    };
    let console = Console::connect(&settings, &container).await?;
    console.run("RELOAD").await?;
    console.resume(None).await?;
    pooler::dismiss(session, &container).await;
    Ok(())
}
