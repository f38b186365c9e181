//! The Docker engine, through its API.

use anyhow::Context as _;
use bollard::Docker;

use crate::exit::Exit;
use crate::failure::Failure;

/// An engine that answers, at an API version both sides speak.
#[derive(Debug)]
pub struct Engine {
    docker: Docker,
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
        Ok(Self { docker })
    }

    /// The client itself.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }
}
