//! Containers for a drill: the same image, no network, capped, gone afterwards.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, ContainerSummaryStateEnum, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};

use crate::backup::container::is_missing;
use crate::backup::exec::{self, Program};
use crate::backup::manifest::Manifest;
use crate::exit::Exit;
use crate::failure::Failure;

/// Every container of a drill carries it, with the run's name.
pub const LABEL: &str = "platform-ops.drill";

/// initdb on a slow disk, and the restore of nothing.
pub const READY_MAX: Duration = Duration::from_secs(600);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How much of the host a drill may use.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Billionths of a CPU.
    pub nano_cpus: i64,
    /// Bytes.
    pub memory_bytes: i64,
    /// Bytes of /dev/shm: parallel index builds allocate there.
    pub shm_bytes: i64,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            nano_cpus: 1_000_000_000,
            memory_bytes: 1 << 30,
            shm_bytes: 256 << 20,
        }
    }
}

/// What is to run.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// The image's id.
    pub image: String,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// What its entrypoint is given.
    pub command: Vec<String>,
    /// How much of the host it may use.
    pub caps: Caps,
    /// `host:container` paths; a drill has none.
    pub binds: Vec<String>,
}

/// A container that exists for a drill.
#[derive(Debug)]
pub struct Throwaway {
    docker: Docker,
    id: String,
    removed: bool,
}

impl Throwaway {
    /// Makes and starts one.
    ///
    /// # Errors
    /// When the engine refuses: the image is not there, most likely.
    pub async fn start(docker: &Docker, run: &str, spec: Spec) -> anyhow::Result<Self> {
        let Spec { image, caps, .. } = &spec;
        let body = ContainerCreateBody {
            image: Some(image.clone()),
            env: Some(spec.environment.clone()),
            cmd: Some(spec.command.clone()),
            labels: Some(HashMap::from([(LABEL.to_owned(), run.to_owned())])),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                binds: Some(spec.binds.clone()),
                nano_cpus: Some(caps.nano_cpus),
                memory: Some(caps.memory_bytes),
                shm_size: Some(caps.shm_bytes),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default()
            .name(&format!("platform-ops-drill-{run}-{}", suffix()?))
            .build();
        let created = docker.create_container(Some(options), body).await;
        let id = created
            .with_context(|| format!("make a container of {image}"))?
            .id;
        let made = Self {
            docker: docker.clone(),
            id,
            removed: false,
        };
        match docker.start_container(&made.id, None).await {
            Ok(()) => Ok(made),
            Err(error) => {
                let _ = made.remove().await;
                Err(error).with_context(|| format!("start a container of {image}"))
            }
        }
    }

    /// Starts one for `work`, which is all that it is there for. `may_end`: whether what it is given can
    /// make it end by itself.
    ///
    /// # Errors
    /// Those of `work`, with the host's reason where it is one; of [`Self::start`] and [`Self::remove`].
    pub async fn serve(
        docker: &Docker,
        run: &str,
        spec: Spec,
        may_end: bool,
        work: impl AsyncFnOnce(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let container = Self::start(docker, run, spec).await?;
        match work(&container).await {
            Ok(()) => container.remove().await,
            Err(error) => Err(container.explain(error, may_end).await),
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Waits until a program inside it succeeds.
    ///
    /// # Errors
    /// [`Exit::REMOTE_UNREACHABLE`] when the time is up; when the container ends: both with the
    /// program's last words.
    pub async fn ready(&self, program: Program, time_max: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            // One that is out of memory may not even start a program.
            let left = time_max.saturating_sub(began.elapsed());
            let asked = exec::run(&self.docker, program.clone(), b"", 1 << 16);
            let words = match tokio::time::timeout(left, asked).await {
                Ok(Ok(ended)) if ended.code == 0 => return Ok(()),
                Ok(Ok(ended)) => ended.stderr,
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => "no answer".to_owned(),
            };
            let state = self.docker.inspect_container(&self.id, None).await?.state;
            let runs = state.and_then(|state| state.running) == Some(true);
            if !runs {
                bail!("the container of the drill ended before it was ready: {words}");
            }
            if began.elapsed() >= time_max {
                let what = format!(
                    "the container of the drill did not get ready in {} s: {words}",
                    time_max.as_secs()
                );
                return Err(Failure::new(Exit::REMOTE_UNREACHABLE, what).into());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What failed in it, unless the reason is one of the host: no memory, or its own end, if that
    /// cannot come of what it was given (`may_end`).
    async fn explain(&self, error: anyhow::Error, may_end: bool) -> anyhow::Error {
        let state = match self.docker.inspect_container(&self.id, None).await {
            Ok(container) => container.state.unwrap_or_default(),
            Err(_) => return error,
        };
        let why = match (state.oom_killed, state.running) {
            (Some(true), _) => "ran out of memory".to_owned(),
            (_, running) if may_end || running == Some(true) => return error,
            _ => format!("ended with code {}", state.exit_code.unwrap_or_default()),
        };
        let what = format!("the container of the drill {why}");
        error.context(Failure::new(Exit::REMOTE_UNREACHABLE, what))
    }

    /// Removes it with everything in it.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove(mut self) -> anyhow::Result<()> {
        self.removed = true;
        remove(&self.docker, &self.id).await
    }
}

impl Drop for Throwaway {
    /// What is left after all is removed by the run's guard, or the next [`sweep`].
    fn drop(&mut self) {
        if self.removed {
            return;
        }
        let (docker, id) = (self.docker.clone(), self.id.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = remove(&docker, &id).await;
            });
        }
    }
}

/// Removes a container and waits until it is gone: another may be at it already.
async fn remove(docker: &Docker, id: &str) -> anyhow::Result<()> {
    let failed = || "remove the container of the drill";
    let options = RemoveContainerOptionsBuilder::default()
        .force(true)
        .v(true)
        .build();
    match docker.remove_container(id, Some(options)).await {
        Ok(()) => return Ok(()),
        Err(error) if is_missing(&error) => return Ok(()),
        Err(error) if !is_under_way(&error) => return Err(error).with_context(failed),
        Err(_) => {}
    }
    let began = Instant::now();
    while began.elapsed() < READY_MAX {
        match docker.inspect_container(id, None).await {
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => return Err(error).with_context(failed),
            Ok(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
    bail!("{}: it does not go", failed())
}

fn is_under_way(error: &bollard::errors::Error) -> bool {
    matches!(
        error,
        bollard::errors::Error::DockerResponseServerError {
            status_code: 409,
            ..
        }
    )
}

/// Removes what killed runs left behind: all of this run, and of others what no longer runs.
///
/// # Errors
/// When the engine does not answer.
pub async fn sweep(docker: &Docker, run: &str) -> anyhow::Result<()> {
    let filters = HashMap::from([("label", vec![LABEL])]);
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filters)
        .build();
    for container in docker
        .list_containers(Some(options))
        .await
        .context("list containers")?
    {
        let of_run = container
            .labels
            .as_ref()
            .and_then(|labels| labels.get(LABEL));
        let ended = container.state == Some(ContainerSummaryStateEnum::EXITED);
        if let Some(id) = container.id
            && (ended || of_run.is_some_and(|label| label == run))
        {
            remove(docker, &id).await?;
        }
    }
    Ok(())
}

fn suffix() -> anyhow::Result<String> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).context("no random bytes")?;
    Ok(crate::backup::seal::hex(&random))
}

/// The image of a service that is here: by its id, or on another host by the digest it is pulled by.
///
/// # Errors
/// `Exit::REFUSED` when it is not here.
pub async fn image_of(
    docker: &Docker,
    manifest: &Manifest,
    service: &str,
) -> anyhow::Result<String> {
    let mut images = manifest.images.iter();
    let image = images.find(|image| image.service == service);
    let image = image.with_context(|| format!("the set names no image of {service}"))?;
    for name in std::iter::once(&image.id).chain(&image.digests) {
        match docker.inspect_image(name).await {
            Ok(_) => return Ok(name.clone()),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error).with_context(|| format!("look for image {name}")),
        }
    }
    let what = format!(
        "the image of {service}, {}, is not on this host",
        image.name
    );
    let hint = match image.digests.first() {
        Some(digest) => format!("docker pull {digest}"),
        None => format!("docker save {} there, docker load here", image.name),
    };
    Err(Failure::refused(what).try_next(hint).into())
}
