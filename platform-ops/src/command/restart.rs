//! `restart`: stops and starts services as they are.

use anyhow::Context as _;

use crate::command::up::selected;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Consent, Plan};
use crate::service::Service;
use crate::session::Session;
use crate::settings::Settings;
use crate::stack::{Action, Observed};

/// As for `up`.
const HEALTHY_SECONDS_MAX: u64 = 300;

/// Arguments of `restart`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops restart pgbouncer --yes
  platform-ops restart --dry-run        all of them: PgBouncer stops first and starts last")]
pub struct Arguments {
    /// Only these services
    #[arg(value_enum, value_name = "SERVICE")]
    services: Vec<Service>,
}

/// Stops in reverse order, starts in order.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("restart")?;
    let settings = Settings::load(session)?;
    let services = selected(&settings.names.services(), &arguments.services)?;
    let observed = Observed::look(session, &settings.names).await?;
    let mut plan = Plan::new("restart");
    let mut named = Vec::new();
    for service in services {
        let container = observed.one(service).with_context(|| {
            Failure::refused(format!("{service} has no container")).try_next("platform-ops up")
        })?;
        named.push((service, container.name.clone()));
    }
    for (service, container) in named.iter().rev() {
        plan.push(Action::Stop {
            service: *service,
            container: container.clone(),
        });
    }
    for (service, container) in named {
        plan.push(Action::Start {
            service,
            container: container.clone(),
        });
        plan.push(Action::Healthy {
            service,
            container,
            seconds_max: HEALTHY_SECONDS_MAX,
        });
    }
    plan.require(Consent::Yes);
    plan.carry_out(session).await
}
