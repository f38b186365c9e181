//! The plan from what is there to what platform.env says.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

use super::action::{Action, folder_steps};
use super::derived::{Derived, derived, folders};
use super::observed::Observed;
use crate::compose::Project;
use crate::container::{Container, LABEL_CONFIG_HASH};
use crate::failure::Failure;
use crate::host_file;
use crate::image::ImageLock;
use crate::plan::{Effect, Plan};
use crate::service::Service;
use crate::session::Session;
use crate::settings::Settings;
use crate::{postgres, redis};

/// A first start makes a database; a start after a crash replays WAL.
const HEALTHY_SECONDS_MAX: u64 = 300;

/// What has to be on disk, and which of it is not as it should be.
pub struct Layout {
    files: Vec<Derived>,
    changed: BTreeSet<std::path::PathBuf>,
}

/// Adds the steps that bring folders and files in order.
///
/// # Errors
/// When a file cannot be read, or a value cannot stand where it has to go.
pub fn layout(
    session: &Session,
    settings: &Settings,
    plan: &mut Plan<Action>,
) -> anyhow::Result<Layout> {
    let lock = ImageLock::load(session)?;
    folder_steps(plan, folders(&session.root));
    let files = derived(&session.root, settings, &lock)?;
    let mut changed = BTreeSet::new();
    for file in &files {
        if let Some(why) = file.difference()? {
            changed.insert(file.path.clone());
            plan.push(Action::file(file.clone(), why));
        }
    }
    if let Some(why) = host_file::program_difference(&session.root)? {
        let path = host_file::program_master(&session.root);
        plan.push(Action::Program { path, why });
    }
    Ok(Layout { files, changed })
}

/// Adds the steps that bring services up, in their order.
///
/// # Errors
/// When the engine or Compose fails, or a container's name is taken.
pub async fn plan_up(
    session: &Session,
    settings: &Settings,
    layout: &Layout,
    services: &[Service],
    plan: &mut Plan<Action>,
) -> anyhow::Result<()> {
    let engine = session.engine().await?;
    if engine.network(&settings.names.network).await?.is_none() {
        plan.push(Action::Network {
            name: settings.names.network.clone(),
        });
    }
    let wanted = Wanted::read(session, settings, layout).await?;
    let observed = Observed::look(session, &settings.names).await?;
    for service in services {
        let name = settings.names.containers[service].clone();
        let acted = if settings.names.adopted.contains(service) {
            let container = observed.one(*service).with_context(|| {
                Failure::refused(format!("the adopted container {name} of {service} is gone"))
                    .try_next(format!("start it as it was, or let the stack run {service}: platform-ops adopt --take {service}"))
            })?;
            start_if_down(container, *service, plan)
        } else {
            wanted
                .converge(session, &observed, *service, layout, plan)
                .await?
        };
        let settled = observed.one(*service).is_some_and(Container::is_healthy);
        if acted || !settled {
            plan.push(Action::Healthy {
                service: *service,
                container: name,
                seconds_max: HEALTHY_SECONDS_MAX,
            });
        }
    }
    Ok(())
}

fn start_if_down(container: &Container, service: Service, plan: &mut Plan<Action>) -> bool {
    let down = !container.is_running();
    if down {
        plan.push(Action::Start {
            service,
            container: container.name.clone(),
        });
    }
    down
}

/// What Compose would label the containers with.
struct Wanted<'a> {
    settings: &'a Settings,
    hashes: BTreeMap<String, String>,
    images: BTreeMap<String, String>,
}

impl<'a> Wanted<'a> {
    /// Asks Compose, of the files as they will be.
    async fn read(
        session: &Session,
        settings: &'a Settings,
        layout: &Layout,
    ) -> anyhow::Result<Self> {
        let folder =
            crate::scratch::Scratch::new().context("make a folder for the rendered files")?;
        let mut files = Vec::new();
        for file in &layout.files {
            if let Ok(relative) = file.path.strip_prefix(session.root.stack()) {
                let copy = folder.write(relative, &file.content)?;
                if relative.components().count() == 1 {
                    files.push(copy);
                }
            }
        }
        let environment = folder.write("platform.env".as_ref(), settings.environment.text())?;
        let project = Project::new(session.root.stack(), vec![environment]).with_files(files);
        Ok(Self {
            settings,
            hashes: project.hashes(session).await?,
            images: project.images(session).await?,
        })
    }

    /// Adds what brings a service of the stack to its file; whether anything.
    async fn converge(
        &self,
        session: &Session,
        observed: &Observed,
        service: Service,
        layout: &Layout,
        plan: &mut Plan<Action>,
    ) -> anyhow::Result<bool> {
        let container = match observed.containers[&service].as_slice() {
            [] => {
                let why = format!(
                    "from {}",
                    self.images.get(service.name()).map_or("?", String::as_str)
                );
                plan.push(Action::Up {
                    service,
                    effect: Effect::Create,
                    why,
                });
                return Ok(true);
            }
            [container] => container,
            _ => {
                let why = "a recreation was cut short".to_owned();
                plan.push(Action::Up {
                    service,
                    effect: Effect::Recreate,
                    why,
                });
                return Ok(true);
            }
        };
        let image = self.images.get(service.name()).cloned().unwrap_or_default();
        let image_id = session
            .engine()
            .await?
            .image(&image)
            .await?
            .and_then(|image| Some(image["Id"].as_str()?.to_owned()));
        let why = if self.hashes.get(service.name()).map(String::as_str)
            != container.label(LABEL_CONFIG_HASH)
        {
            Some("its configuration changed".to_owned())
        } else if image_id
            .as_ref()
            .is_some_and(|id| *id != container.image_id)
        {
            Some(format!("{image} is another image now"))
        } else {
            None
        };
        if let Some(why) = why {
            plan.push(Action::Up {
                service,
                effect: Effect::Recreate,
                why,
            });
            return Ok(true);
        }
        if !container.is_running() {
            plan.push(Action::Up {
                service,
                effect: Effect::Start,
                why: format!("it is {}", container.state),
            });
            return Ok(true);
        }
        if service == Service::Redis
            && learns_its_password(session, self.settings, container).await?
        {
            restart(service, container, plan);
            return Ok(true);
        }
        Self::reload(service, container, layout, plan);
        Ok(false)
    }

    /// A service that runs on has to learn of its changed files.
    fn reload(service: Service, container: &Container, layout: &Layout, plan: &mut Plan<Action>) {
        let touched = |name: &str| layout.changed.iter().any(|path| path.ends_with(name));
        match service {
            Service::Pgbouncer
                if touched("pgbouncer/pgbouncer.ini") || touched("pgbouncer/userlist.txt") =>
            {
                plan.push(Action::Signal {
                    service,
                    container: container.name.clone(),
                    signal: "SIGHUP",
                    why: "it reads its files again",
                });
            }
            Service::Redis if touched("redis/redis.conf") => {
                plan.note("redis keeps its old settings until: platform-ops restart redis");
            }
            _ => {}
        }
    }
}

/// A database keeps its passwords whatever platform.env says: from the files that `up` renders,
/// PgBouncer would then log in with others, and every client be refused.
///
/// # Errors
/// With the keys that differ; or when the database does not answer.
pub async fn same_passwords(session: &Session, settings: &Settings) -> anyhow::Result<()> {
    let observed = Observed::look(session, &settings.names).await?;
    let postgres = observed.one(Service::Postgres);
    let Some(container) = postgres.filter(|container| container.is_healthy()) else {
        return Ok(());
    };
    let refused = postgres::refused_keys(session, settings, container)
        .await
        .context("compare the passwords of platform.env with the database's")?;
    if refused.is_empty() {
        return Ok(());
    }
    let what = format!(
        "the database does not take what platform.env says for {}: to change platform.env alone changes no password, and would lock PgBouncer's clients out",
        refused.join(", ")
    );
    Err(Failure::refused(what)
        .try_next("put the old value back, or give both sides a new one: platform-ops secrets rotate ROLE")
        .into())
}

fn restart(service: Service, container: &Container, plan: &mut Plan<Action>) {
    plan.note("redis is restarted: platform.env has another REDIS_PASSWORD than it knows; applications that send the old one are refused from then on");
    let container = container.name.clone();
    plan.push(Action::Stop {
        service,
        container: container.clone(),
    });
    plan.push(Action::Start { service, container });
}

/// Whether Redis runs with another password than platform.env says. It reads its own at a start.
async fn learns_its_password(
    session: &Session,
    settings: &Settings,
    container: &Container,
) -> anyhow::Result<bool> {
    let password = settings.environment.get_or("REDIS_PASSWORD", "");
    Ok(!redis::knows(session, container, &password).await?)
}
