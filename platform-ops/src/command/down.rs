//! `down`: stops the services; their data stay.

use crate::command::up::selected;
use crate::exit::Exit;
use crate::plan::{Consent, Plan};
use crate::service::Service;
use crate::session::Session;
use crate::settings::Settings;
use crate::stack::{Action, Observed};

/// Arguments of `down`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops down --dry-run
  platform-ops down --yes            all of them, PgBouncer before the database
  platform-ops down redis --yes

Containers of the stack are removed, adopted ones only stopped. Data, secrets and the network stay;
`platform-ops up` brings everything back.")]
pub struct Arguments {
    /// Only these services
    #[arg(value_enum, value_name = "SERVICE")]
    services: Vec<Service>,
}

/// Stops the services in reverse order.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("down")?;
    let settings = Settings::load(session)?;
    let mut services = selected(&settings.names.services(), &arguments.services)?;
    services.reverse();
    let observed = Observed::look(session, &settings.names).await?;
    let mut plan = Plan::new("down");
    for service in services {
        for container in observed.containers.get(&service).into_iter().flatten() {
            let name = container.name.clone();
            if container.is_running()
                || container.state == "paused"
                || container.state == "restarting"
            {
                plan.push(Action::Stop {
                    service,
                    container: name.clone(),
                });
            }
            if !settings.names.adopted.contains(&service) {
                plan.push(Action::Remove {
                    service,
                    container: name,
                });
            }
        }
    }
    if !plan.is_empty() {
        plan.require(Consent::Yes);
    }
    plan.carry_out(session).await
}
