//! The steps that change the stack.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::derived::Derived;
use crate::environment::Environment;
use crate::file::{self, Access};
use crate::host_file;
use crate::plan::{self, Effect, Plan};
use crate::service::Service;
use crate::session::Session;

/// A step. It serialises without the content of files.
#[derive(Clone, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are what their variant's line says")]
pub enum Action {
    /// Makes a folder or puts its owner and mode right.
    Folder {
        path: PathBuf,
        access: Access,
        exists: bool,
    },
    /// Replaces a derived file.
    File {
        path: PathBuf,
        access: Access,
        why: &'static str,
        #[serde(skip)]
        content: String,
    },
    /// Keeps this program as its own master.
    Program { path: PathBuf, why: &'static str },
    /// Writes platform.env.
    Environment {
        path: PathBuf,
        exists: bool,
        keys: Vec<String>,
        #[serde(skip)]
        environment: Environment,
    },
    /// Makes the shared network.
    Network { name: String },
    /// Lets Compose bring a service to what its file says.
    Up {
        service: Service,
        effect: Effect,
        why: String,
    },
    /// Starts a container as it is.
    Start { service: Service, container: String },
    /// Waits until a service is healthy.
    Healthy {
        service: Service,
        container: String,
        seconds_max: u64,
    },
    /// Stops a container.
    Stop { service: Service, container: String },
    /// Removes a stopped container; its data lie on the host.
    Remove { service: Service, container: String },
    /// Sends a signal to the program of a container.
    Signal {
        service: Service,
        container: String,
        signal: &'static str,
        why: &'static str,
    },
}

impl Action {
    /// The step that brings a derived file in order.
    pub fn file(derived: Derived, why: &'static str) -> Self {
        Self::File {
            path: derived.path,
            access: derived.access,
            why,
            content: derived.content,
        }
    }
}

/// Adds what is missing of the folders.
pub fn folder_steps(plan: &mut Plan<Action>, folders: Vec<(PathBuf, Access)>) {
    for (path, access) in folders {
        match Access::read(&path) {
            Ok(found) if found == access => {}
            // The root itself may be anyone's idea: /srv belongs to the distribution.
            Ok(_) if path.parent().is_none_or(|parent| parent.as_os_str() == "/") => {}
            found => plan.push(Action::Folder {
                path,
                access,
                exists: found.is_ok(),
            }),
        }
    }
}

impl plan::Action for Action {
    fn summary(&self) -> String {
        match self {
            Self::Folder {
                path,
                access,
                exists: false,
            } => format!("make folder {} ({})", path.display(), access.text()),
            Self::Folder {
                path,
                access,
                exists: true,
            } => format!("set folder {} to {}", path.display(), access.text()),
            Self::File {
                path,
                access,
                why: "missing",
                ..
            } => format!("write {} ({})", path.display(), access.text()),
            Self::File { path, why, .. } => format!(
                "rewrite {} ({why} differs from platform.env)",
                path.display()
            ),
            Self::Program { path, why, .. } => format!(
                "keep this program as {} ({}; {why})",
                path.display(),
                host_file::PROGRAM_ACCESS.text()
            ),
            Self::Environment {
                path,
                exists: false,
                keys,
                ..
            } => {
                format!(
                    "write {} (600 uid 0) with {}",
                    path.display(),
                    keys.join(", ")
                )
            }
            Self::Environment { path, keys, .. } => {
                format!("set {} in {}", keys.join(", "), path.display())
            }
            Self::Network { name } => format!("make network {name}"),
            Self::Up {
                service,
                effect,
                why,
            } => format!("{effect} container of {service} ({why})"),
            Self::Start { service, container } => {
                format!("start {service} (container {container})")
            }
            Self::Healthy {
                service,
                container,
                seconds_max,
            } => {
                format!(
                    "wait until {service} is healthy (container {container}, {seconds_max} s at most)"
                )
            }
            Self::Stop { service, container } => format!("stop {service} (container {container})"),
            Self::Remove { service, container } => {
                format!("remove container {container} of {service}; its data stay")
            }
            Self::Signal {
                container,
                signal,
                why,
                ..
            } => format!("send {signal} to container {container} ({why})"),
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Folder { exists: false, .. }
            | Self::File { why: "missing", .. }
            | Self::Program { why: "missing", .. }
            | Self::Environment { exists: false, .. }
            | Self::Network { .. } => Effect::Create,
            Self::Folder { .. }
            | Self::File { .. }
            | Self::Program { .. }
            | Self::Environment { .. }
            | Self::Signal { .. } => Effect::Change,
            Self::Up { effect, .. } => *effect,
            Self::Start { .. } => Effect::Start,
            Self::Healthy { .. } => Effect::Check,
            Self::Stop { .. } | Self::Remove { .. } => Effect::Stop,
        }
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Folder { path, access, .. } => file::folder(path, *access),
            Self::File {
                path,
                access,
                content,
                ..
            } => file::replace(path, content.as_bytes(), *access),
            Self::Program { .. } => host_file::keep_program(&session.root),
            Self::Environment { environment, .. } => environment.save(session),
            Self::Network { name } => session.engine().await?.create_network(name).await,
            Self::Up { service, .. } => {
                let arguments = [
                    "up",
                    "--detach",
                    "--no-deps",
                    "--no-build",
                    "--quiet-pull",
                    service.name(),
                ];
                super::project(session)
                    .output(session, &arguments)
                    .await
                    .map(drop)
            }
            Self::Start { container, .. } => session.engine().await?.start(container).await,
            Self::Healthy {
                container,
                seconds_max,
                ..
            } => {
                let engine = session.engine().await?;
                engine
                    .wait_healthy(
                        container,
                        Duration::from_secs(*seconds_max),
                        &session.interrupt,
                    )
                    .await
            }
            Self::Stop { container, .. } => session.engine().await?.stop(container).await,
            Self::Remove { container, .. } => session.engine().await?.remove(container).await,
            Self::Signal {
                container, signal, ..
            } => session.engine().await?.signal(container, signal).await,
        }
    }
}
