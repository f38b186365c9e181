//! The real `platform-agent`, set up to ship a corpus to the sink.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use fixtures::agent_process::AgentConfig;
use fixtures::emulator::Credential;

use crate::process::Program;
use crate::sink::Sink;

/// What all runs share.
pub struct Setup {
    /// The release binary.
    pub binary: PathBuf,
    /// The key that signs, made for this run.
    pub credential: Credential,
    /// For state, configuration and logs; removed at the end.
    pub scratch: tempfile::TempDir,
}

impl Setup {
    /// Makes a key.
    ///
    /// # Errors
    /// When the binary is missing or the key cannot be made.
    pub fn new(binary: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(binary.exists(), "{} is not built", binary.display());
        let scratch = tempfile::tempdir()?;
        let credential = Credential::create(&scratch.path().join("oci"))?;
        Ok(Self {
            binary: binary.to_owned(),
            credential,
            scratch,
        })
    }

    /// Starts the agent with an empty state over this folder of containers. `more` is added to its
    /// configuration: whole tables.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_agent(&self, containers: &Path, sink: &Sink, more: &str) -> io::Result<Program> {
        self.start_agent_with(containers, sink, more, &[])
    }

    /// The same with environment variables, which win over the configuration.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_agent_with(
        &self,
        containers: &Path,
        sink: &Sink,
        more: &str,
        environment: &[(&'static str, String)],
    ) -> io::Result<Program> {
        let dir = self.fresh("agent")?;
        let config = AgentConfig {
            containers_dir: containers.to_owned(),
            include: vec!["*".to_owned()],
            state_dir: dir.join("state"),
            oci_config: self.credential.config_file.clone(),
            log_id: "ocid1.log.oc1.eu-frankfurt-1.benchmark".to_owned(),
            endpoint: sink.url(),
            // The corpus bears times that are fixed by its seed.
            more: format!("retention = \"0s\"\n{more}"),
        };
        let path = dir.join("agent.toml");
        config.write(&path)?;
        let mut command = Command::new(&self.binary);
        command.arg("run").arg("--config").arg(&path);
        command.envs(environment.iter().map(|(key, value)| (key, value)));
        Program::start("platform-agent", &mut command, &self.log("agent"))
    }

    /// Starts the reference program over this folder of containers.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_reference(&self, containers: &Path, sink: &Sink) -> io::Result<Program> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("reference")
            .arg(containers)
            .arg(sink.address().to_string())
            .arg(&self.credential.key_file);
        Program::start("reference", &mut command, &self.log("reference"))
    }

    /// An empty folder of this name.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn fresh(&self, name: &str) -> io::Result<PathBuf> {
        let dir = self.scratch.path().join(name);
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// Where a program's output goes.
    pub fn log(&self, name: &str) -> PathBuf {
        self.scratch.path().join(format!("{name}.log"))
    }
}
