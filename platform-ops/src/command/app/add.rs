//! `app add`: everything that an application needs of the databases, in one plan.

use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use crate::command::backup::Scene as Found;
use crate::database::access::{self, Access, NewRole, Role};
use crate::database::creation::{self, Kind};
use crate::database::listing::{self, Entry};
use crate::database::{extension, name};
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::image::ImageLock;
use crate::plan::{self, Effect, Plan};
use crate::pooler;
use crate::rotation::Journal;
use crate::secret;
use crate::service::Service;
use crate::session::Session;
use crate::settings::{AppRole, Settings};
use crate::stack::{self, Observed};

/// Arguments of `app add`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops app add librarian --dry-run
  platform-ops app add librarian
  platform-ops app add trading-app --database trading_db --extension vector --extension pg_trgm

For `librarian` it generates LIBRARIAN_DB_PASSWORD in platform.env, makes the role librarian_user, lets
it into PgBouncer, makes librarian_db of librarian_owner with the grants of the manual, and logs in
through the pooler to see that it works. It can be run again: what is there stays as it is.")]
pub struct Arguments {
    /// The application, as its folder under apps/ is called
    name: String,
    /// Its database [default: NAME_db, without -app]
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Its login role [default: NAME_user]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// An extension
    #[arg(long = "extension", value_name = "NAME", default_value = "vector")]
    extensions: Vec<String>,
}

/// A step: of the stack's files, of the server, or between the two.
#[derive(Serialize)]
#[serde(untagged)]
enum Action {
    Stack(stack::Action),
    Database(creation::Step),
    Pooler(Pooler),
}

/// Someone new at the pooler's door.
#[derive(Serialize)]
struct Pooler {
    user: String,
    database: String,
    #[serde(skip)]
    settings: Arc<Settings>,
}

impl plan::Action for Action {
    fn summary(&self) -> String {
        match self {
            Self::Stack(action) => action.summary(),
            Self::Database(step) => step.summary(),
            Self::Pooler(Pooler { user, database, .. }) => {
                format!("let PgBouncer read its files again, and log in to {database} as {user}")
            }
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Stack(action) => action.effect(),
            Self::Database(step) => step.effect(),
            Self::Pooler(_) => Effect::Check,
        }
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Stack(action) => action.apply(session).await,
            Self::Database(step) => step.apply(session).await,
            Self::Pooler(pooler) => pooler.open(session).await,
        }
    }
}

impl Pooler {
    /// Repeated each time: a run that was killed may have written the files and no more.
    async fn open(&self, session: &Session) -> anyhow::Result<()> {
        let settings = &self.settings;
        let observed = Observed::look(session, &settings.names).await?;
        let container = observed
            .one(Service::Pgbouncer)
            .context("PgBouncer does not run")?;
        let console = pooler::Console::connect(settings, container).await?;
        console.run("RELOAD").await?;
        let role = settings
            .app_roles
            .iter()
            .find(|role| role.user == self.user);
        let key = role.map(|role| role.key.as_str()).unwrap_or_default();
        let password = settings.environment.get_or(key, "");
        let login = pooler::Login {
            user: &self.user,
            password: &password,
            database: &self.database,
        };
        let done = login.check(settings, container).await;
        done.with_context(|| {
            let what = format!("{} cannot log in with {key} of platform.env", self.user);
            Failure::new(Exit::VERIFICATION_FAILED, what).try_next(format!(
                "if the role had another password before: platform-ops secrets set {key}"
            ))
        })
    }
}

/// Carries it out.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("app add")?;
    Journal::refuse_unfinished(session)?;
    let mut plan = Plan::new("app add");
    let (environment, role, keys) = environment(session, arguments)?;
    name::check(&role.database)?;
    let settings = Arc::new(Settings::of(environment.clone())?);
    if !keys.is_empty() {
        plan.push(Action::Stack(stack::Action::Environment {
            path: session.root.platform_env(),
            exists: true,
            keys: keys.clone(),
            environment,
        }));
    }
    let userlist = userlist(session, &settings)?;
    if let Some(action) = userlist {
        plan.push(Action::Stack(action));
    }
    let is_new_key = keys.contains(&role.key);
    for step in database_steps(session, &settings, &role, is_new_key, &arguments.extensions).await?
    {
        plan.push(Action::Database(step));
    }
    if settings.names.adopted.contains(&Service::Pgbouncer) {
        plan.note(format!(
            "PgBouncer is not ours yet: its own userlist has to name {}",
            role.user
        ));
    } else {
        plan.push(Action::Pooler(Pooler {
            user: role.user.clone(),
            database: role.database.clone(),
            settings: settings.clone(),
        }));
    }
    plan.note(format!(
        "{} connects to {}:{} as {}, database {}, password ${{{}}}",
        arguments.name,
        settings.names.containers[&Service::Pgbouncer],
        Service::Pgbouncer.port().unwrap_or_default(),
        role.user,
        role.database,
        role.key
    ));
    plan.carry_out(session).await
}

/// platform.env with the application's keys, and which of them it lacked.
fn environment(
    session: &Session,
    arguments: &Arguments,
) -> anyhow::Result<(Environment, AppRole, Vec<String>)> {
    let name = &arguments.name;
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'));
    if !is_plain {
        let what = format!("{name:?} is no name: small letters, digits, - and _");
        return Err(Failure::usage(what).into());
    }
    let prefix = name.to_uppercase().replace('-', "_");
    let mut environment = Environment::load(session)?;
    let default = AppRole::of(&environment, &prefix);
    let mut keys = Vec::new();
    for (key, wanted, found) in [
        ("DB_NAME", &arguments.database, &default.database),
        ("DB_USER", &arguments.role, &default.user),
    ] {
        let key = format!("{prefix}_{key}");
        match wanted {
            Some(wanted) if wanted != found => {
                if environment.get(&key).is_some() {
                    let failure =
                        Failure::refused(format!("{key} in platform.env is {found}, not {wanted}"));
                    return Err(failure
                        .try_next("edit platform.env, or leave the option out")
                        .into());
                }
                environment = environment.with(&key, wanted)?;
                keys.push(key);
            }
            _ => {}
        }
    }
    let role = AppRole::of(&environment, &prefix);
    if environment.get(&role.key).is_none() {
        let password = secret::generate()?;
        session.redactor.learn(&password);
        environment = environment.with(&role.key, &password)?;
        keys.push(role.key.clone());
    }
    Ok((environment, role, keys))
}

/// The step that lets the role into PgBouncer, if its file lacks it and is ours.
fn userlist(session: &Session, settings: &Settings) -> anyhow::Result<Option<stack::Action>> {
    let files = stack::derived(&session.root, settings, &ImageLock::load(session)?)?;
    let file = files
        .into_iter()
        .find(|file| file.path.ends_with("pgbouncer/userlist.txt"));
    let Some(file) = file else {
        return Ok(None);
    };
    let difference = file.difference()?;
    Ok(difference.map(|why| stack::Action::file(file, why)))
}

async fn database_steps(
    session: &Session,
    settings: &Settings,
    role: &AppRole,
    is_new_key: bool,
    extensions: &[String],
) -> anyhow::Result<Vec<creation::Step>> {
    let run = std::process::id().to_string();
    let server = Found::look(session).await?.server(&run).await?;
    let access = Access::of(settings, &role.database, None);
    let there = access::roles(&server).await?;
    access.check(&there)?;
    if is_new_key && there.iter().any(|other: &Role| other.name == role.user) {
        let what = format!(
            "there is a role {} already, and platform.env has no password for it",
            role.user
        );
        return Err(Failure::refused(what)
            .try_next(format!(
                "platform-ops secrets set {} with its password, or --role ROLE",
                role.key
            ))
            .into());
    }
    let missing = NewRole::missing(settings, &access, &there)?;
    let entries = listing::list(&server).await?;
    let database = entries.iter().find(|entry| entry.name == role.database);
    let kinds = match database {
        None => vec![Kind::Roles, Kind::Database, Kind::Grant],
        Some(found) if found.owner != access.owner => {
            if missing.is_empty() {
                return Ok(Vec::new());
            }
            let Entry { name, owner, .. } = found;
            let what = format!("there is a database {name} already, and {owner} owns it");
            return Err(Failure::refused(what)
                .try_next(format!(
                    "--database with another name, or platform-ops db fresh-install {name}"
                ))
                .into());
        }
        Some(_) if missing.is_empty() && access.is_granted(&server, &role.database).await? => {
            Vec::new()
        }
        Some(_) => vec![Kind::Roles, Kind::Database, Kind::Grant],
    };
    extension::require(&server, extensions).await?;
    let scene = Arc::new(creation::Scene {
        server,
        database: role.database.clone(),
        access,
        missing,
        extensions: extensions.to_vec(),
    });
    Ok(kinds
        .into_iter()
        .map(|kind| creation::Step::new(kind, &scene))
        .collect())
}
