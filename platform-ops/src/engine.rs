//! The Docker engine, through its API.

mod exec;
mod health;

pub use exec::ExecOutput;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use bollard::Docker;
use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::{
    KillContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    StatsOptionsBuilder, StopContainerOptionsBuilder,
};
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::container::Container;
use crate::exit::Exit;
use crate::failure::Failure;

/// What the engine says of a removal that another one has begun (moby `daemon/delete.go`).
const UNDER_WAY: &str = "already in progress";
/// Looks at a container that is being removed, and the time between them.
const GONE_LOOKS: u32 = 300;
const GONE_INTERVAL: Duration = Duration::from_millis(100);

/// A stop waits for the container's own grace period, which may be minutes; the client's timeout
/// runs until the answer's headers.
const ANSWER_SECONDS_MAX: u64 = 600;
/// What says that a network is ours.
const NETWORK_LABEL: &str = "platform-ops.network";

/// An engine that answers, at an API version both sides speak.
#[derive(Debug)]
pub struct Engine {
    docker: Docker,
}

/// Whether an error is the engine's answer with this status.
fn has_status(error: &bollard::errors::Error, wanted: u16) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { status_code, .. } if *status_code == wanted)
}

impl Engine {
    /// Connects to `DOCKER_HOST`, or to the usual socket.
    ///
    /// # Errors
    /// When nothing answers there.
    pub async fn connect() -> anyhow::Result<Self> {
        let unreachable = || {
            Failure::new(
                Exit::REMOTE_UNREACHABLE,
                "the Docker engine does not answer",
            )
            .try_next("systemctl status docker; members of the group docker may ask it")
        };
        let docker = Docker::connect_with_local_defaults().with_context(unreachable)?;
        // Engines from 29 on refuse versions under 1.44, old ones do not know the newest.
        let docker = docker.negotiate_version().await.with_context(unreachable)?;
        let docker = docker.with_timeout(Duration::from_secs(ANSWER_SECONDS_MAX));
        Ok(Self { docker })
    }

    /// The client itself.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// A container by name or id.
    ///
    /// # Errors
    /// When the engine fails; that there is none is no error.
    pub async fn container(&self, name: &str) -> anyhow::Result<Option<Container>> {
        match self.docker.inspect_container(name, None).await {
            Ok(inspect) => Ok(Some(Container::from_inspect(&serde_json::to_value(
                inspect,
            )?))),
            Err(error) if has_status(&error, 404) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("inspect container {name}")),
        }
    }

    /// All containers, the stopped ones too, in the order of their names.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn containers(&self) -> anyhow::Result<Vec<Container>> {
        self.containers_where(HashMap::new()).await
    }

    /// The containers with a label.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn containers_labelled(
        &self,
        label: &str,
        value: &str,
    ) -> anyhow::Result<Vec<Container>> {
        let filter = HashMap::from([("label".to_owned(), vec![format!("{label}={value}")])]);
        self.containers_where(filter).await
    }

    async fn containers_where(
        &self,
        filters: HashMap<String, Vec<String>>,
    ) -> anyhow::Result<Vec<Container>> {
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let listed = self
            .docker
            .list_containers(Some(options))
            .await
            .context("list containers")?;
        let mut containers = Vec::new();
        for id in listed.into_iter().filter_map(|container| container.id) {
            // Gone since the listing: none of our concern.
            containers.extend(self.container(&id).await?);
        }
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(containers)
    }

    /// A network, as inspected.
    ///
    /// # Errors
    /// When the engine fails; that there is none is no error.
    pub async fn network(&self, name: &str) -> anyhow::Result<Option<Value>> {
        match self.docker.inspect_network(name, None).await {
            Ok(network) => Ok(Some(serde_json::to_value(network)?)),
            Err(error) if has_status(&error, 404) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("inspect network {name}")),
        }
    }

    /// Makes a bridge network, unless there is one of this name.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn create_network(&self, name: &str) -> anyhow::Result<()> {
        if self.network(name).await?.is_some() {
            return Ok(());
        }
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            labels: Some(HashMap::from([(NETWORK_LABEL.to_owned(), "1".to_owned())])),
            ..Default::default()
        };
        self.docker
            .create_network(request)
            .await
            .with_context(|| format!("create network {name}"))?;
        Ok(())
    }

    /// An image, as inspected.
    ///
    /// # Errors
    /// When the engine fails; that there is none is no error.
    pub async fn image(&self, name: &str) -> anyhow::Result<Option<Value>> {
        match self.docker.inspect_image(name).await {
            Ok(image) => Ok(Some(serde_json::to_value(image)?)),
            Err(error) if has_status(&error, 404) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("inspect image {name}")),
        }
    }

    /// Starts a container; one that runs is left alone.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn start(&self, name: &str) -> anyhow::Result<()> {
        match self.docker.start_container(name, None).await {
            Err(error) if !has_status(&error, 304) => {
                Err(error).with_context(|| format!("start container {name}"))
            }
            _ => Ok(()),
        }
    }

    /// Stops a container with its own signal and grace period; one that stands is left alone.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn stop(&self, name: &str) -> anyhow::Result<()> {
        let seconds = self
            .container(name)
            .await?
            .and_then(|container| container.stop_seconds);
        let mut options = StopContainerOptionsBuilder::new();
        if let Some(seconds) = seconds.and_then(|seconds| i32::try_from(seconds).ok()) {
            options = options.t(seconds);
        }
        match self
            .docker
            .stop_container(name, Some(options.build()))
            .await
        {
            Err(error) if !has_status(&error, 304) && !has_status(&error, 404) => {
                Err(error).with_context(|| format!("stop container {name}"))
            }
            _ => Ok(()),
        }
    }

    /// Bytes of memory that a running container uses, without the cache that can be given back.
    ///
    /// # Errors
    /// When the engine does not say.
    pub async fn memory_bytes(&self, name: &str) -> anyhow::Result<u64> {
        let options = StatsOptionsBuilder::new()
            .stream(false)
            .one_shot(true)
            .build();
        let mut stats = self.docker.stats(name, Some(options));
        let failed = || format!("ask for the memory of container {name}");
        let stats = stats.next().await.with_context(failed)?;
        let memory = stats
            .with_context(failed)?
            .memory_stats
            .with_context(failed)?;
        let cache = ["inactive_file", "total_inactive_file"]
            .iter()
            .find_map(|name| memory.stats.as_ref()?.get(*name));
        let usage = memory.usage.with_context(failed)?;
        Ok(usage.saturating_sub(cache.copied().unwrap_or(0)))
    }

    /// Removes a stopped container. Its volumes stay.
    ///
    /// # Errors
    /// When it runs, or the engine refuses.
    pub async fn remove(&self, name: &str) -> anyhow::Result<()> {
        let options = RemoveContainerOptionsBuilder::new()
            .v(false)
            .force(false)
            .build();
        match self.docker.remove_container(name, Some(options)).await {
            // `--rm` is at it already.
            Err(error) if has_status(&error, 409) && error.to_string().contains(UNDER_WAY) => {
                self.wait_gone(name).await
            }
            Err(error) if !has_status(&error, 404) => {
                Err(error).with_context(|| format!("remove container {name}"))
            }
            _ => Ok(()),
        }
    }

    async fn wait_gone(&self, name: &str) -> anyhow::Result<()> {
        for _ in 0..GONE_LOOKS {
            if self.container(name).await?.is_none() {
                return Ok(());
            }
            tokio::time::sleep(GONE_INTERVAL).await;
        }
        anyhow::bail!("container {name} is being removed, and does not go")
    }

    /// Sends a signal to a container's program.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn signal(&self, name: &str, signal: &str) -> anyhow::Result<()> {
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        self.docker
            .kill_container(name, Some(options))
            .await
            .with_context(|| format!("send {signal} to container {name}"))
    }
}
