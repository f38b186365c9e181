//! The backups, by what this host knows: neither the store nor the network is asked.

use jiff::Timestamp;

use crate::backup::alarm;
use crate::backup::config::{self, Config};
use crate::backup::journal::Journal;
use crate::backup::schedule::install::Host;
use crate::backup::schedule::unit::Starter;
use crate::doctor::BackupFacts;
use crate::session::Session;

pub(super) fn gather(session: &Session, facts: &mut BackupFacts) -> anyhow::Result<()> {
    let journal = Journal::load(&session.root)?;
    facts.last = journal.made.as_ref().map(|made| made.created);
    facts.proven = journal.proven.as_ref().map(|seen| seen.at);
    let starters = Host("/".into()).starters().into_iter();
    let name = |starter| match starter {
        Starter::Systemd => "systemd".to_owned(),
        Starter::Cron => "cron".to_owned(),
    };
    facts.started_by = starters.map(name).collect();
    // The folder is root's alone: others see what the journal says.
    let readable = std::fs::metadata(config::path(&session.root)).is_ok();
    if !readable && !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let config = Config::load(&session.root)?;
    let configured = config.bucket.is_some() || config.directory.is_some();
    facts.configured = Some(configured);
    if configured {
        facts.alarms = alarm::alarms(&journal, &config.schedule, Timestamp::now());
    }
    Ok(())
}
