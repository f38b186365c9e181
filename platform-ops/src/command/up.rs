//! `up`: from what is there to what platform.env says.

use crate::disk;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Consent, Effect, Plan};
use crate::rotation::Journal;
use crate::service::Service;
use crate::session::Session;
use crate::settings::Settings;
use crate::stack;

/// Arguments of `up`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops up --dry-run     what would be done; look for \"containers recreated\"
  platform-ops up
  platform-ops up redis

What runs as it should is left alone. A container is recreated or stopped only after you agreed
(--yes). A password that was changed in platform.env alone is refused, unless it is Redis' own.
Run it again after a failure: it continues.")]
pub struct Arguments {
    /// Only these services
    #[arg(value_enum, value_name = "SERVICE")]
    services: Vec<Service>,
}

/// Brings the services up.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("up")?;
    Journal::refuse_unfinished(session)?;
    let settings = Settings::load(session)?;
    let services = selected(&settings.names.services(), &arguments.services)?;
    disk::require_room(&session.root)?;
    let mut plan = Plan::new("up");
    let layout = stack::layout(session, &settings, &mut plan)?;
    if services.contains(&Service::Postgres) || services.contains(&Service::Pgbouncer) {
        stack::same_passwords(session, &settings).await?;
    }
    stack::plan_up(session, &settings, &layout, &services, &mut plan).await?;
    if plan.count(Effect::Recreate) + plan.count(Effect::Stop) > 0 {
        plan.require(Consent::Yes);
    }
    plan.carry_out(session).await
}

/// The wanted ones of the services in use, in the order in which they start.
///
/// # Errors
/// When one is not in use.
pub fn selected(in_use: &[Service], wanted: &[Service]) -> anyhow::Result<Vec<Service>> {
    if let Some(service) = wanted.iter().find(|service| !in_use.contains(service)) {
        let what = format!("{service} is not in use here");
        return Err(Failure::usage(what)
            .try_next("the agent is: PLATFORM_AGENT=on in platform.env")
            .into());
    }
    let is_wanted = |service: &Service| wanted.is_empty() || wanted.contains(service);
    Ok(in_use.iter().copied().filter(is_wanted).collect())
}
