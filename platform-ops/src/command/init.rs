//! `init`: a new platform on an empty root.

use std::path::Path;

use anyhow::Context as _;

use crate::environment::{Environment, is_secret};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::Plan;
use crate::rotation::Journal;
use crate::secret;
use crate::session::Session;
use crate::settings::{REQUIRED, Settings};
use crate::stack::{self, Action};

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops init --dry-run
  platform-ops init && platform-ops up
  platform-ops init --set PLATFORM_POSTGRES_MEMORY=2g --set PLATFORM_PGBOUNCER_PUBLISH=127.0.0.1:6432

It can be run again: what is there stays as it is, what is missing is added.")]
pub struct Arguments {
    /// A setting that is no secret, into platform.env
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// An application: adds its key, `<NAME>_DB_PASSWORD`, with a generated secret
    #[arg(long = "app", value_name = "NAME")]
    apps: Vec<String>,
}

const HEADER: &str = "# The single source of truth of this platform. Root's alone, mode 600.\n# `platform-ops up` renders from it whatever else the services read.\n";

/// Lays everything out.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("init")?;
    Journal::refuse_unfinished(session)?;
    let mut plan = Plan::new("init");
    let (environment, keys) = complete(session, arguments)?;
    let settings = Settings::of(environment.clone())?;
    let path = session.root.platform_env();
    let exists = path.exists();
    // Folders first: the file has to have one.
    stack::folder_steps(&mut plan, stack::folders(&session.root));
    if !keys.is_empty() {
        plan.push(Action::Environment {
            path,
            exists,
            keys,
            environment,
        });
    }
    let mut rest = Plan::new("init");
    stack::layout(session, &settings, &mut rest)?;
    for action in rest
        .actions()
        .filter(|action| !matches!(action, Action::Folder { .. }))
    {
        plan.push(action.clone());
    }
    if session
        .engine()
        .await?
        .network(&settings.names.network)
        .await?
        .is_none()
    {
        plan.push(Action::Network {
            name: settings.names.network.clone(),
        });
    }
    plan.note("next: platform-ops up");
    plan.carry_out(session).await
}

/// platform.env as it should be, and the keys that it lacked.
fn complete(
    session: &Session,
    arguments: &Arguments,
) -> anyhow::Result<(Environment, Vec<String>)> {
    let mut environment = if session.root.platform_env().exists() {
        Environment::load(session)?
    } else {
        Environment::parse(HEADER)?
    };
    let mut keys = Vec::new();
    let mut add = |environment: &mut Environment, key: &str, value: &str| -> anyhow::Result<()> {
        if environment.get(key).is_none() {
            *environment = environment.with(key, value)?;
            keys.push(key.to_owned());
        }
        Ok(())
    };
    for setting in &arguments.settings {
        let (key, value) = setting
            .split_once('=')
            .with_context(|| Failure::usage(format!("--set {setting}: there is no =")))?;
        if is_secret(key) {
            let what = format!("--set {key}: a secret must not stand on a command line");
            return Err(Failure::usage(what).try_next("edit platform.env").into());
        }
        if environment.get(key).is_some_and(|present| present != value) {
            let what = format!("--set {key}: platform.env sets it to something else");
            return Err(Failure::refused(what).try_next("edit platform.env").into());
        }
        add(&mut environment, key, value)?;
    }
    if session.root.path() != Path::new("/srv") {
        add(
            &mut environment,
            "PLATFORM_ROOT",
            &session.root.path().display().to_string(),
        )?;
    }
    let apps = arguments
        .apps
        .iter()
        .map(|name| format!("{}_DB_PASSWORD", name.to_uppercase().replace('-', "_")));
    for key in REQUIRED.into_iter().map(str::to_owned).chain(apps) {
        let value = if is_secret(&key) {
            secret::generate()?
        } else {
            "platform_admin".to_owned()
        };
        session.redactor.learn(&value);
        add(&mut environment, &key, &value)?;
    }
    Ok((environment, keys))
}
