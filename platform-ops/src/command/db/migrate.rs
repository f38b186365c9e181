//! `db migrate`: the migrations that are missing.

use anyhow::Context as _;
use serde::Serialize;

use crate::backup::server::Server;
use crate::database::access::Access;
use crate::database::alembic::{Migrator, State, Verb};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Action, Consent, Effect, Plan};
use crate::session::Session;
use crate::settings::Settings;

/// Arguments of `db migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops db migrate trading_db --dry-run
  platform-ops db migrate trading_db --yes
  platform-ops db migrate trading_db --stamp --yes   the schema is complete, only the revision is missing

It runs `alembic upgrade head` in the application's service `migrator` and says which revision the
database was and is at. Tables without a revision are refused: the first migration would make again
what is there.")]
pub struct Arguments {
    /// The database
    database: String,
    /// The application, where platform.env does not say it
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// Its service that has Alembic
    #[arg(long, value_name = "SERVICE", default_value = "migrator")]
    migrator: String,
    /// Run `alembic stamp head`: note that no migration is missing
    #[arg(long)]
    stamp: bool,
}

#[derive(Debug, Serialize)]
struct Migrate {
    database: String,
    from: State,
    verb: Verb,
    migrator: Migrator,
    #[serde(skip)]
    server: Server,
}

impl Action for Migrate {
    fn summary(&self) -> String {
        let (database, from) = (&self.database, self.from.text());
        format!("{} ({database} is {from})", self.migrator.text(self.verb))
    }

    fn effect(&self) -> Effect {
        Effect::Change
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        let run = self
            .migrator
            .run(session, &self.server, None, &self.database, self.verb);
        let state = run.await?;
        session
            .output
            .note(&format!("{} is {}", self.database, state.text()));
        Ok(())
    }
}

/// Carries it out.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("db migrate")?;
    let database = &arguments.database;
    let settings = Settings::load(session)?;
    let server = super::server(session).await?;
    super::existing(&server, database).await?;
    let application = arguments.app.clone();
    let application = application.or_else(|| Access::application(&settings, database));
    let application = application.with_context(|| {
        Failure::usage(format!(
            "no key of platform.env says whose database {database} is"
        ))
        .try_next("--app NAME")
    })?;
    let migrator = Migrator::find(session, &application, Some(&arguments.migrator)).await?;
    let from = State::of(&server, database).await?;
    if from == State::Unversioned && !arguments.stamp {
        let what = format!(
            "{database} has tables and no revision: the first migration would make them again"
        );
        return Err(Failure::refused(what)
            .try_next("--stamp, if the schema is what the newest migration leaves")
            .into());
    }
    let mut plan = Plan::new("db migrate");
    plan.require(Consent::Yes);
    plan.note("a migration cannot be taken back by this program: platform-ops backup create first");
    plan.push(Migrate {
        database: database.clone(),
        from,
        verb: if arguments.stamp {
            Verb::Stamp
        } else {
            Verb::Upgrade
        },
        migrator: migrator.context("the migrator is gone")?,
        server,
    });
    plan.carry_out(session).await
}
