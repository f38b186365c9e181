//! What runs: the containers of the platform, found by labels and by the names of adopted ones.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::container::{Container, LABEL_PROJECT, LABEL_SERVICE, LABEL_WORKING_DIR};
use crate::failure::Failure;
use crate::service::Service;
use crate::session::Session;
use crate::settings::Names;

/// The platform's containers.
#[derive(Clone, Debug, Serialize)]
pub struct Observed {
    /// By service; more than one where a recreation was cut short.
    pub containers: BTreeMap<Service, Vec<Container>>,
}

impl Observed {
    /// Looks.
    ///
    /// # Errors
    /// When the engine fails, or a name is taken by a container that is none of ours.
    pub async fn look(session: &Session, names: &Names) -> anyhow::Result<Self> {
        let engine = session.engine().await?;
        let ours = engine
            .containers_labelled(LABEL_PROJECT, &names.project)
            .await?;
        let mut containers = BTreeMap::new();
        for (service, name) in &names.containers {
            let named = engine.container(name).await?;
            if names.adopted.contains(service) {
                containers.insert(*service, named.into_iter().collect());
                continue;
            }
            let of_service =
                |container: &&Container| container.label(LABEL_SERVICE) == Some(service.name());
            let found: Vec<Container> = ours.iter().filter(of_service).cloned().collect();
            let stack = session.root.stack().display().to_string();
            for container in &found {
                if container.label(LABEL_WORKING_DIR) != Some(stack.as_str()) {
                    return Err(foreign(container, *service).into());
                }
            }
            if let Some(named) = named
                && !found.iter().any(|container| container.id == named.id)
            {
                return Err(foreign(&named, *service).into());
            }
            containers.insert(*service, found);
        }
        Ok(Self { containers })
    }

    /// The container of a service, if there is exactly one.
    pub fn one(&self, service: Service) -> Option<&Container> {
        match self.containers.get(&service)?.as_slice() {
            [container] => Some(container),
            _ => None,
        }
    }
}

fn foreign(container: &Container, service: Service) -> Failure {
    let from = match (
        container.label(LABEL_PROJECT),
        container.label(LABEL_WORKING_DIR),
    ) {
        (Some(project), Some(folder)) => format!("the compose project {project} in {folder}"),
        _ => "no compose project".to_owned(),
    };
    Failure::refused(format!(
        "container {} is there already and belongs to {from}; {service} would take its place",
        container.name
    ))
    .try_next("platform-ops adopt takes over what runs")
}
