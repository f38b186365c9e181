//! `db create`.

use std::sync::Arc;

use crate::database::access::{self, Access, NewRole};
use crate::database::creation::{Kind, Scene, Step};
use crate::database::{extension, listing, name};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::Plan;
use crate::session::Session;
use crate::settings::Settings;

/// Arguments of `db create`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops db create ledger_db --role ledger_user
  platform-ops db create ledger_db --extension vector --extension pg_trgm

A role that platform.env has a password for is made if it is not there; `platform-ops app add` makes
role, password, pooler entry and database together.")]
pub struct Arguments {
    /// The new database
    database: String,
    /// A login role that uses it; as platform.env says where none is given
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// The role that owns it, instead of the one named after it
    #[arg(long, value_name = "ROLE")]
    owner: Option<String>,
    /// An extension
    #[arg(long = "extension", value_name = "NAME", default_value = "vector")]
    extensions: Vec<String>,
}

/// Carries it out.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("db create")?;
    let database = &arguments.database;
    name::check(database)?;
    let settings = Settings::load(session)?;
    let server = super::server(session).await?;
    let entries = listing::list(&server).await?;
    if entries.iter().any(|entry| entry.name == *database) {
        let failure = Failure::refused(format!("there is a database {database} already"));
        let hint = format!("platform-ops db fresh-install {database}, to make it anew");
        return Err(failure.try_next(hint).into());
    }
    let mut access = Access::of(&settings, database, arguments.owner.as_deref());
    if !arguments.roles.is_empty() {
        access.roles.clone_from(&arguments.roles);
    }
    let there = access::roles(&server).await?;
    access.check(&there)?;
    extension::require(&server, &arguments.extensions).await?;
    let scene = Arc::new(Scene {
        missing: NewRole::missing(&settings, &access, &there)?,
        server,
        database: database.clone(),
        access,
        extensions: arguments.extensions.clone(),
    });
    let mut plan = Plan::new("db create");
    for kind in [Kind::Roles, Kind::Database, Kind::Grant] {
        plan.push(Step::new(kind, &scene));
    }
    plan.carry_out(session).await
}
