//! What is told of a run when it has ended: the journal, the metrics, the webhook.

use jiff::Timestamp;

use crate::backup::alarm;
use crate::backup::config::Config;
use crate::backup::journal::{Attempt, Journal, Made};
use crate::backup::listing::Listing;
use crate::backup::metrics;
use crate::backup::store::Store;
use crate::backup::webhook::Message;
use crate::exit::Exit;
use crate::session::Session;

/// A run of `backup create` that has ended.
#[derive(Debug)]
pub struct Ended<'a> {
    /// When it began.
    pub began: Timestamp,
    /// The set that it made.
    pub made: Option<Made>,
    /// How the program ends, or why it failed.
    pub exit: Result<Exit, &'a anyhow::Error>,
}

/// Tells of a run. What cannot be told is said on stderr and makes no success a failure.
pub async fn tell(session: &Session, config: &Config, ended: Ended<'_>) {
    let now = Timestamp::now();
    let (exit, error) = match ended.exit {
        Ok(exit) => (exit, None),
        Err(error) => (
            crate::failure::exit(error),
            Some(session.redactor.clean(&format!("{error:#}"))),
        ),
    };
    let attempt = Attempt {
        at: ended.began,
        seconds: now.as_second() - ended.began.as_second(),
        exit: exit.code(),
        error,
    };
    let journal = update(session, |journal| journal.ended(attempt, ended.made));
    publish(session, config, &journal);
    let Some(webhook) = &config.webhook else {
        return;
    };
    let alarms = alarm::alarms(&journal, &config.schedule, now);
    let is_well = alarms.is_empty() && matches!(exit, Exit::OK | Exit::WARNINGS);
    if is_well && !webhook.success {
        return;
    }
    let set = journal.made.as_ref().map(|made| made.set.as_str());
    let host = crate::backup::listing::host();
    let text = match alarms.first() {
        Some(alarm) => format!("backup of {host}: {}", alarm.text),
        None => format!("backup of {host}: set {}, exit {exit}", set.unwrap_or("-")),
    };
    let message = Message {
        event: if is_well { "backup_ok" } else { "backup_alarm" },
        text,
        host,
        exit: exit.code(),
        set,
        alarms: &alarms,
    };
    note(session, webhook.send(&message, &session.redactor).await);
}

/// Changes the journal; one that cannot be read is begun anew. Under the lock only.
pub fn update(session: &Session, change: impl FnOnce(&mut Journal)) -> Journal {
    let mut journal = Journal::load(&session.root).unwrap_or_else(|error| {
        note(session, Err(error));
        Journal::default()
    });
    change(&mut journal);
    note(session, journal.save(&session.root));
    journal
}

/// Looks at the store and notes what it holds.
pub async fn observe(session: &Session, store: &Store) {
    match Listing::read(store).await {
        Ok(listing) => {
            update(session, |journal| {
                journal.observe(&store.display(), &listing, Timestamp::now());
            });
        }
        Err(error) => note(session, Err(error)),
    }
}

/// Writes the metrics, where they are wanted.
pub fn publish(session: &Session, config: &Config, journal: &Journal) {
    if let Some(path) = &config.metrics_file {
        let text = metrics::text(journal, &config.schedule, Timestamp::now());
        note(session, metrics::write(path, &text));
    }
}

fn note(session: &Session, result: anyhow::Result<()>) {
    if let Err(error) = result {
        let text = session.redactor.clean(&format!("warning: {error:#}"));
        session.output.note(&text);
    }
}
