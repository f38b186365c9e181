//! Who has the secret: applications under `apps/`, by what their containers were made with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::application;
use crate::compose::{self, Project};
use crate::container::{Container, LABEL_SERVICE, LABEL_WORKING_DIR};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::scratch::Scratch;
use crate::session::Session;
use crate::settings::Settings;

/// Shorter ones are found in places that mean something else.
const SEARCHED_CHARS_MIN: usize = 6;
/// No role: what changes with it takes its user from the key.
const OTHER_USER: &str = "platform_ops_other";

/// An application that has the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Its folder's name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Its services that have the secret: name and containers.
    pub services: BTreeMap<String, Vec<String>>,
}

/// Everyone who has it.
#[derive(Debug, Default)]
pub struct Consumers {
    /// Those under `apps/`.
    pub apps: Vec<App>,
    /// Containers that nothing here can make anew.
    pub others: Vec<String>,
}

/// Finds running containers that were made with the secret.
///
/// # Errors
/// When the engine fails, or an application has the secret in a file of its own.
pub async fn consumers(
    session: &Session,
    settings: &Settings,
    key: &str,
    secret: &str,
) -> anyhow::Result<Consumers> {
    let has = |value: &String| {
        value == secret || (secret.len() >= SEARCHED_CHARS_MIN && value.contains(secret))
    };
    let mut consumers = Consumers::default();
    let mut apps: BTreeMap<PathBuf, App> = BTreeMap::new();
    let ours = settings.names.containers.values();
    let ours: Vec<&String> = ours.collect();
    for container in session.engine().await?.containers().await? {
        let runs = container.is_running() && container.env.values().any(has);
        if !runs || ours.contains(&&container.name) {
            continue;
        }
        let Some((folder, service)) = place(session, &container) else {
            consumers.others.push(container.name);
            continue;
        };
        let name = folder.file_name().unwrap_or_default();
        let app = apps.entry(folder.clone()).or_insert_with(|| App {
            name: name.to_string_lossy().into_owned(),
            folder: folder.clone(),
            services: BTreeMap::new(),
        });
        app.services
            .entry(service)
            .or_default()
            .push(container.name);
    }
    consumers.apps = apps.into_values().collect();
    for app in &consumers.apps {
        refuse_own_copy(&app.folder, key, secret)?;
    }
    Ok(consumers)
}

/// Folder and service of a container of an application.
fn place(session: &Session, container: &Container) -> Option<(PathBuf, String)> {
    let folder = PathBuf::from(container.label(LABEL_WORKING_DIR)?);
    let service = container.label(LABEL_SERVICE)?.to_owned();
    let is_app = folder.parent() == Some(&session.root.apps()) && folder != session.root.stack();
    (is_app && compose::file_in(&folder).is_some()).then_some((folder, service))
}

/// A copy would stay the old one.
fn refuse_own_copy(folder: &Path, key: &str, secret: &str) -> anyhow::Result<()> {
    if secret.len() < SEARCHED_CHARS_MIN {
        return Ok(());
    }
    let files = [Some(folder.join(".env")), compose::file_in(folder)];
    for path in files.into_iter().flatten().filter(|path| path.is_file()) {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        if let Some(line) = text.lines().position(|line| line.contains(secret)) {
            let what = format!(
                "{} has the secret of {key} itself, in line {}: it would stay the old one",
                path.display(),
                line + 1
            );
            return Err(Failure::refused(what)
                .try_next(format!("write ${{{key}}} in its place"))
                .into());
        }
    }
    Ok(())
}

impl App {
    /// Its services, for people.
    pub fn text(&self) -> String {
        let services: Vec<&str> = self.services.keys().map(String::as_str).collect();
        format!("{} ({})", self.name, services.join(", "))
    }

    /// Its containers.
    pub fn containers(&self) -> impl Iterator<Item = &String> {
        self.services.values().flatten()
    }

    /// Lets Compose make its services anew with what platform.env says now.
    ///
    /// # Errors
    /// Compose's words.
    pub async fn recreate(&self, session: &Session) -> anyhow::Result<()> {
        let mut arguments = vec!["up", "--detach", "--no-deps", "--no-build", "--quiet-pull"];
        arguments.extend(self.services.keys().map(String::as_str));
        let env_files = application::env_files(session, &self.folder);
        let project = Project::new(self.folder.clone(), env_files);
        project.output(session, &arguments).await.map(drop)
    }

    /// Refuses an application that would be the same container with another user in platform.env.
    ///
    /// # Errors
    /// Names the application and the key.
    pub async fn require_user_key(
        &self,
        session: &Session,
        environment: &Environment,
        key: &str,
    ) -> anyhow::Result<()> {
        let now = self.hashes(session, environment).await?;
        let other = environment.with(key, OTHER_USER)?;
        let other = self.hashes(session, &other).await?;
        let stays = |service: &&String| now.get(*service) == other.get(*service);
        let Some(service) = self.services.keys().find(stays) else {
            return Ok(());
        };
        let what = format!(
            "{service} of {} does not take its user from {key}",
            self.name
        );
        Err(Failure::refused(what)
            .try_next(format!(
                "set {key} in platform.env, write ${{{key}}} into its compose file, platform-ops app up {}, and rotate",
                self.name
            ))
            .into())
    }

    /// What Compose would label its containers with.
    async fn hashes(
        &self,
        session: &Session,
        environment: &Environment,
    ) -> anyhow::Result<BTreeMap<String, String>> {
        let scratch = Scratch::new().context("make a folder for platform.env")?;
        let platform_env = scratch.write("platform.env".as_ref(), environment.text())?;
        let mut env_files = application::env_files(session, &self.folder);
        env_files.pop();
        env_files.push(platform_env);
        Project::new(self.folder.clone(), env_files)
            .hashes(session)
            .await
    }
}
