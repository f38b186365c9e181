//! `pull`: fetches the images and writes down which ones they are.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde::Serialize;

use crate::command::up::selected;
use crate::disk;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file::{self, Access};
use crate::image::{ImageLock, LockedImage};
use crate::plan::{self, Effect, Plan};
use crate::service::Service;
use crate::session::Session;
use crate::settings::Settings;
use crate::stack;

/// Arguments of `pull`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops pull && platform-ops up --dry-run    fetch, then see what would be recreated
  platform-ops pull redis

The digests go to config/images.lock.json; from then on `up` runs exactly these images, whatever
their tags come to mean. No container is touched. An image that is here and cannot be fetched stays
in use, and the exit code is 3.")]
pub struct Arguments {
    /// Only these services
    #[arg(value_enum, value_name = "SERVICE")]
    services: Vec<Service>,
}

#[derive(Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Action {
    Pull {
        service: Service,
        image: String,
        #[serde(skip)]
        kept: Kept,
    },
    Resolve {
        images: Vec<(Service, String)>,
        #[serde(skip)]
        kept: Kept,
    },
    Pin {
        #[serde(skip)]
        settings: Box<Settings>,
    },
}

/// What could not be fetched and is used as it is here.
type Kept = Arc<Mutex<Vec<String>>>;

fn keep(kept: &Kept, note: String) {
    kept.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(note);
}

/// Fetches and resolves.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("pull")?;
    let settings = Settings::load(session)?;
    disk::require_room(&session.root)?;
    let kept = Kept::default();
    let mut plan = Plan::new("pull");
    let mut images = Vec::new();
    for service in selected(&settings.managed(), &arguments.services)? {
        // Its image comes with a release, from `docker load`, unless another one is configured.
        if service == Service::Agent && settings.environment.get(&service.key("IMAGE")).is_none() {
            plan.note("the agent's image is in no registry: docker load it from a release");
            continue;
        }
        let image = stack::image_tag(&settings, service)
            .with_context(|| format!("{service} has no image"))?;
        plan.push(Action::Pull {
            service,
            image: image.clone(),
            kept: kept.clone(),
        });
        images.push((service, image));
    }
    plan.push(Action::Resolve {
        images,
        kept: kept.clone(),
    });
    plan.push(Action::Pin {
        settings: Box::new(settings),
    });
    let exit = plan.carry_out(session).await?;
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    for note in kept.iter() {
        session.output.note(&format!("warning: {note}"));
    }
    Ok(if kept.is_empty() {
        exit
    } else {
        Exit::WARNINGS
    })
}

impl plan::Action for Action {
    fn summary(&self) -> String {
        match self {
            Self::Pull { service, image, .. } => format!("pull {image} for {service}"),
            Self::Resolve { .. } => "write the digests to config/images.lock.json".to_owned(),
            Self::Pin { .. } => "put them into apps/platform/compose.override.yaml".to_owned(),
        }
    }

    fn effect(&self) -> Effect {
        Effect::Change
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Pull { image, kept, .. } => pull(session, image, kept).await,
            Self::Resolve { images, kept } => resolve(session, images, kept).await,
            Self::Pin { settings } => {
                let lock = ImageLock::load(session)?;
                for file in stack::derived(&session.root, settings, &lock)? {
                    if file.path.ends_with("compose.override.yaml")
                        && file.path.parent().is_some_and(|folder| folder.exists())
                    {
                        file::replace(&file.path, file.content.as_bytes(), file.access)?;
                    }
                }
                Ok(())
            }
        }
    }
}

async fn pull(session: &Session, image: &str, kept: &Kept) -> anyhow::Result<()> {
    let engine = session.engine().await?;
    let (repository, tag) = split(image);
    let options = CreateImageOptionsBuilder::new()
        .from_image(repository)
        .tag(tag)
        .build();
    let mut progress = engine.docker().create_image(Some(options), None, None);
    while let Some(step) = progress.next().await {
        session.interrupt.check()?;
        let Err(error) = step else { continue };
        let why = session.redactor.clean(&error.to_string());
        if engine.image(image).await?.is_some() {
            keep(
                kept,
                format!("{image} was not pulled and is used as it is here: {why}"),
            );
            return Ok(());
        }
        return Err(anyhow::anyhow!(why).context(
            Failure::new(Exit::REMOTE_UNREACHABLE, format!("pull {image}")).try_next(
                "docker login, a proxy for the engine, or docker load of the image saved elsewhere",
            ),
        ));
    }
    Ok(())
}

/// Repository and tag; a port's colon is none of a tag.
fn split(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (image, "latest"),
    }
}

async fn resolve(
    session: &Session,
    images: &[(Service, String)],
    kept: &Kept,
) -> anyhow::Result<()> {
    let engine = session.engine().await?;
    let mut lock = ImageLock::load(session)?;
    for (service, tag) in images {
        let image = engine
            .image(tag)
            .await?
            .with_context(|| format!("{tag} is not here"))?;
        let prefix = format!("{}@", split(tag).0);
        let digests = image["RepoDigests"].as_array().into_iter().flatten();
        let digest = digests
            .filter_map(|digest| digest.as_str()?.strip_prefix(&prefix))
            .next();
        if digest.is_none() {
            keep(
                kept,
                format!("{tag} comes from no registry: it stays by its tag"),
            );
        }
        let locked = LockedImage {
            tag: tag.clone(),
            digest: digest.map(str::to_owned),
            image_id: image["Id"].as_str().unwrap_or_default().to_owned(),
            resolved_at: Timestamp::now(),
        };
        let same = |old: &LockedImage| {
            old.tag == locked.tag && old.digest == locked.digest && old.image_id == locked.image_id
        };
        if !lock.images.get(service).is_some_and(same) {
            lock.images.insert(*service, locked);
        }
    }
    let text = serde_json::to_string_pretty(&lock)? + "\n";
    file::replace(
        &session.root.images_lock(),
        text.as_bytes(),
        Access::root(0o644),
    )
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn the_port_of_a_registry_is_no_tag() {
        assert_eq!(
            split("localhost:5000/redis"),
            ("localhost:5000/redis", "latest")
        );
        assert_eq!(
            split("localhost:5000/redis:7.2"),
            ("localhost:5000/redis", "7.2")
        );
        assert_eq!(split("redis"), ("redis", "latest"));
    }
}
