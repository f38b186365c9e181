//! The steps of an adoption.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bollard::models::{ContainerUpdateBody, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters::RenameContainerOptionsBuilder;
use serde::Serialize;

use super::{append_only, precheck};
use crate::environment::Environment;
use crate::plan::{self, Effect};
use crate::service::Service;
use crate::session::Session;
use crate::stack;

const HEALTHY_WAIT_MAX: Duration = Duration::from_secs(300);

/// A step.
#[derive(Serialize)]
#[serde(tag = "adopt", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are what their variant's line says")]
pub enum Action {
    /// A step of the stack.
    Stack(stack::Action),
    /// Makes a running Redis write its append-only file.
    AppendOnly { container: String },
    /// Stops a hand-made container and gives it another name.
    SetAside {
        service: Service,
        container: String,
        kept: String,
    },
    /// Copies a file before it is replaced.
    KeepFile { path: PathBuf },
    /// Starts the stack's container and compares identities; else brings the old one back.
    Bring {
        service: Service,
        container: String,
        kept: String,
        why: String,
        identity: Option<String>,
    },
}

impl plan::Action for Action {
    fn summary(&self) -> String {
        match self {
            Self::Stack(action) => action.summary(),
            Self::AppendOnly { container } => {
                format!("let Redis write its append-only file (container {container})")
            }
            Self::SetAside {
                service,
                container,
                kept,
            } => format!("stop {service} and keep its container {container} as {kept}"),
            Self::KeepFile { path } => format!("copy {0} to {0}.before-adopt", path.display()),
            Self::Bring {
                service,
                container,
                why,
                identity,
                kept,
                ..
            } => {
                let compare = if identity.is_some() {
                    ", compare its data's identity"
                } else {
                    ""
                };
                format!(
                    "recreate container {container} of {service} ({why}), wait until it is healthy{compare}; then remove {kept}, else bring it back"
                )
            }
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Stack(action) => action.effect(),
            Self::AppendOnly { .. } => Effect::Change,
            Self::SetAside { .. } => Effect::Stop,
            Self::KeepFile { .. } => Effect::Create,
            Self::Bring { .. } => Effect::Recreate,
        }
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Stack(action) => action.apply(session).await,
            Self::AppendOnly { container } => {
                let found = session
                    .engine()
                    .await?
                    .container(container)
                    .await?
                    .context("the container is gone")?;
                let environment = Environment::load(session)?;
                append_only::switch_on(session, &found, environment.get("REDIS_PASSWORD")).await
            }
            Self::SetAside {
                container, kept, ..
            } => set_aside(session, container, kept).await,
            Self::KeepFile { path } => {
                let mut copy = path.clone().into_os_string();
                copy.push(".before-adopt");
                // A repeated run must not copy what the first one wrote.
                if std::path::Path::new(&copy).exists() {
                    return Ok(());
                }
                std::fs::copy(path, &copy).with_context(|| format!("copy {}", path.display()))?;
                Ok(())
            }
            Self::Bring {
                service,
                container,
                kept,
                identity,
                ..
            } => {
                let brought = bring(session, *service, container, identity.as_deref()).await;
                let Err(error) = brought else {
                    // Its own compose file would start it again, on the same data.
                    return session.engine().await?.remove(kept).await;
                };
                bring_back(session, *service, container, kept)
                    .await
                    .context("bring the old container back")?;
                Err(error.context(format!("the old container {container} runs again")))
            }
        }
    }
}

async fn set_aside(session: &Session, container: &str, kept: &str) -> anyhow::Result<()> {
    let engine = session.engine().await?;
    engine.stop(container).await?;
    restart_policy(session, container, RestartPolicyNameEnum::NO).await?;
    rename(session, container, kept).await
}

async fn rename(session: &Session, from: &str, to: &str) -> anyhow::Result<()> {
    let options = RenameContainerOptionsBuilder::new().name(to).build();
    session
        .engine()
        .await?
        .docker()
        .rename_container(from, options)
        .await
        .with_context(|| format!("rename container {from} to {to}"))
}

/// Else the engine would start both after a reboot.
async fn restart_policy(
    session: &Session,
    container: &str,
    name: RestartPolicyNameEnum,
) -> anyhow::Result<()> {
    let policy = RestartPolicy {
        name: Some(name),
        maximum_retry_count: None,
    };
    let update = ContainerUpdateBody {
        restart_policy: Some(policy),
        ..Default::default()
    };
    session
        .engine()
        .await?
        .docker()
        .update_container(container, update)
        .await
        .with_context(|| format!("set the restart policy of {container}"))
}

async fn bring(
    session: &Session,
    service: Service,
    container: &str,
    identity: Option<&str>,
) -> anyhow::Result<()> {
    stack::project(session)
        .output(
            session,
            &["up", "--detach", "--no-deps", "--no-build", service.name()],
        )
        .await?;
    let engine = session.engine().await?;
    engine
        .wait_healthy(container, HEALTHY_WAIT_MAX, &session.interrupt)
        .await?;
    let Some(wanted) = identity else {
        return Ok(());
    };
    let found = engine
        .container(container)
        .await?
        .context("the container is gone")?;
    let environment = Environment::load(session)?;
    let now =
        precheck::identity(session, service, &found, environment.get("REDIS_PASSWORD")).await?;
    anyhow::ensure!(
        now == wanted,
        "{service} serves other data than before: {now} instead of {wanted}"
    );
    Ok(())
}

/// The old container under its name again, and in platform.env as adopted.
async fn bring_back(
    session: &Session,
    service: Service,
    container: &str,
    kept: &str,
) -> anyhow::Result<()> {
    let engine = session.engine().await?;
    engine.stop(container).await?;
    engine.remove(container).await?;
    let environment = Environment::load(session)?;
    let mut adopted: Vec<String> = environment
        .get_or("PLATFORM_ADOPTED", "")
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    adopted.push(service.name().to_owned());
    environment
        .with("PLATFORM_ADOPTED", &adopted.join(","))?
        .save(session)?;
    rename(session, kept, container).await?;
    restart_policy(session, container, RestartPolicyNameEnum::UNLESS_STOPPED).await?;
    engine.start(container).await?;
    engine
        .wait_healthy(container, HEALTHY_WAIT_MAX, &session.interrupt)
        .await
}
