//! Which containers hold PostgreSQL and Redis: exactly one each, never a guess among several.

use std::collections::HashMap;

use anyhow::Context as _;
use bollard::Docker;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::ListContainersOptionsBuilder;

use crate::backup::manifest::Image;
use crate::failure::Failure;

const SERVICE_LABEL: &str = "com.docker.compose.service";

/// A running container.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// Its image, as the set records it.
    pub image: Image,
    environment: Vec<String>,
}

impl Container {
    /// A variable that the container was made with.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let mut all = self.environment.iter();
        all.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// The running container of this very name; else, where `service` is given, the only one of that
/// compose service. `None` when there is neither.
///
/// # Errors
/// When several are of that service, or the engine does not answer.
pub async fn find(
    docker: &Docker,
    name: &str,
    service: Option<&str>,
) -> anyhow::Result<Option<Container>> {
    match docker.inspect_container(name, None).await {
        Ok(found) if is_running(&found) => return describe(docker, found).await.map(Some),
        Ok(_) => {}
        Err(error) if is_missing(&error) => {}
        Err(error) => return Err(error).with_context(|| format!("look for container {name}")),
    }
    let Some(service) = service else {
        return Ok(None);
    };
    let label = format!("{SERVICE_LABEL}={service}");
    let filters = HashMap::from([("label", vec![label.as_str()])]);
    let options = ListContainersOptionsBuilder::default()
        .filters(&filters)
        .build();
    let found = docker
        .list_containers(Some(options))
        .await
        .context("list containers")?;
    let ids: Vec<String> = found
        .into_iter()
        .filter_map(|container| container.id)
        .collect();
    match &ids[..] {
        [] => Ok(None),
        [id] => {
            let found = docker
                .inspect_container(id, None)
                .await
                .context("look at a container")?;
            describe(docker, found).await.map(Some)
        }
        several => Err(Failure::refused(format!(
            "{} running containers are of the service {service}, and none is named {name}",
            several.len()
        ))
        .try_next(format!(
            "name one in config/backup.toml: {service}_container = \"…\""
        ))
        .into()),
    }
}

fn is_running(found: &ContainerInspectResponse) -> bool {
    let state = found.state.as_ref();
    state.and_then(|state| state.running) == Some(true)
}

/// Whether the engine says that there is none of this name.
pub fn is_missing(error: &bollard::errors::Error) -> bool {
    matches!(
        error,
        bollard::errors::Error::DockerResponseServerError {
            status_code: 404,
            ..
        }
    )
}

async fn describe(docker: &Docker, found: ContainerInspectResponse) -> anyhow::Result<Container> {
    let config = found.config.unwrap_or_default();
    let image = found.image.unwrap_or_default();
    let digests = docker
        .inspect_image(&image)
        .await
        .ok()
        .and_then(|image| image.repo_digests);
    let name = found
        .name
        .unwrap_or_default()
        .trim_start_matches('/')
        .to_owned();
    Ok(Container {
        id: found.id.context("a container without an id")?,
        image: Image {
            service: String::new(),
            container: name.clone(),
            name: config.image.unwrap_or_default(),
            id: image,
            digests: digests.unwrap_or_default(),
        },
        name,
        environment: config.env.unwrap_or_default(),
    })
}
