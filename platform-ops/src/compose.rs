//! Docker Compose, through its plug-in, in a clean environment: whatever the operator's shell
//! holds would win over platform.env.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::Context as _;
use rustix::process::{Pid, Signal};
use tokio::process::Command;

use crate::failure::Failure;
use crate::session::Session;

/// What Compose is given of the environment; also what env files may refer to.
pub fn clean_environment() -> BTreeMap<String, String> {
    let kept = |name: &str| matches!(name, "PATH" | "HOME") || name.starts_with("DOCKER_");
    std::env::vars().filter(|(name, _)| kept(name)).collect()
}

/// A compose project: its folder, files and env files.
#[derive(Clone, Debug)]
pub struct Project {
    folder: PathBuf,
    files: Vec<PathBuf>,
    env_files: Vec<PathBuf>,
}

impl Project {
    /// The project of a folder, with the files Compose finds there by itself.
    pub fn new(folder: PathBuf, env_files: Vec<PathBuf>) -> Self {
        Self {
            folder,
            files: Vec::new(),
            env_files,
        }
    }

    /// With these files instead, as if they stood in the folder.
    #[must_use]
    pub fn with_files(mut self, files: Vec<PathBuf>) -> Self {
        self.files = files;
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.env_clear().envs(clean_environment());
        command.arg("compose");
        for file in &self.env_files {
            command.arg("--env-file").arg(file);
        }
        if !self.files.is_empty() {
            command.arg("--project-directory").arg(&self.folder);
        }
        for file in &self.files {
            command.arg("--file").arg(file);
        }
        command.args(arguments);
        if self.folder.is_dir() {
            command.current_dir(&self.folder);
        }
        command
    }

    /// Runs `docker compose …` quietly and returns what it printed on stdout.
    ///
    /// # Errors
    /// With what it complained of, secrets removed.
    pub async fn output(&self, session: &Session, arguments: &[&str]) -> anyhow::Result<String> {
        let what = format!("docker compose {}", arguments.join(" "));
        let output = self
            .command(arguments)
            .stdin(Stdio::null())
            .process_group(0)
            .output()
            .await
            .with_context(|| format!("start {what}"))?;
        let stderr = session
            .redactor
            .clean(&String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            let failure = if stderr.contains("is not a docker command")
                || stderr.contains("unknown command")
            {
                Failure::refused("Docker has no compose plug-in")
                    .try_next("dnf install docker-compose-plugin")
            } else {
                Failure::new(crate::exit::Exit::FAILED, what)
            };
            return Err(anyhow::anyhow!("{}", stderr.trim()).context(failure));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `docker compose …` in the foreground: the operator's terminal is its own, and a signal
    /// that we get is passed on.
    ///
    /// # Errors
    /// When it cannot be started; how it ended is no error.
    pub async fn foreground(
        &self,
        session: &Session,
        arguments: &[&str],
    ) -> anyhow::Result<ExitStatus> {
        let mut child = self
            .command(arguments)
            .spawn()
            .context("start docker compose")?;
        tokio::select! {
            ended = child.wait() => return ended.context("wait for docker compose"),
            () = session.interrupt.wait() => {}
        }
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // It may have ended meanwhile.
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        child.wait().await.context("wait for docker compose")
    }

    /// The hash of each service's configuration, as `up` would label its container.
    ///
    /// # Errors
    /// When the files are not valid.
    pub async fn hashes(&self, session: &Session) -> anyhow::Result<BTreeMap<String, String>> {
        let text = self
            .output(session, &["--profile", "*", "config", "--hash", "*"])
            .await?;
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs
            .map(|(service, hash)| (service.to_owned(), hash.trim().to_owned()))
            .collect())
    }

    /// The image of each service.
    ///
    /// # Errors
    /// When the files are not valid.
    pub async fn images(&self, session: &Session) -> anyhow::Result<BTreeMap<String, String>> {
        let text = self
            .output(session, &["--profile", "*", "config", "--format", "json"])
            .await?;
        let config: serde_json::Value =
            serde_json::from_str(&text).context("read the output of docker compose config")?;
        let services = config["services"].as_object().into_iter().flatten();
        Ok(services
            .filter_map(|(name, service)| {
                Some((name.clone(), service["image"].as_str()?.to_owned()))
            })
            .collect())
    }
}

/// The compose file of a folder, by the names Compose itself looks for.
pub fn file_in(folder: &Path) -> Option<PathBuf> {
    [
        "compose.yaml",
        "compose.yml",
        "docker-compose.yml",
        "docker-compose.yaml",
    ]
    .iter()
    .map(|name| folder.join(name))
    .find(|path| path.is_file())
}
