//! Programs inside a container, with their exit codes: the engine's stream may end for other
//! reasons than success.

mod whole;

use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecInspectResponse;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::backup::pipe;

pub use whole::{Ended, run, text};

/// Bytes of one frame of output at most.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// What is kept of a program's complaints: their end.
const STDERR_BYTES_MAX: usize = 16 << 10;

/// A program that has to be held to something must have started by then.
const START_MAX: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is to run.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Container id or name.
    pub container: String,
    /// Program and arguments. They are seen by anyone who may ask the engine: no secrets.
    pub command: Vec<String>,
    /// `NAME=value`; unlike arguments, the engine shows them to nobody.
    pub environment: Vec<String>,
    /// Whether something is written to it.
    pub has_input: bool,
    /// Whether its input, if it has one, else its output, is large: then it passes by a pipe beside the
    /// engine, where that can be. The other one passes the engine.
    pub is_large: bool,
}

impl Program {
    /// A program without variables and input.
    pub fn new<S: Into<String>>(container: &str, command: impl IntoIterator<Item = S>) -> Self {
        Self {
            container: container.to_owned(),
            command: command.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }
}

/// A program that runs.
pub struct Process {
    docker: Docker,
    id: String,
    name: String,
    output: Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>,
    input: Option<Pin<Box<dyn AsyncWrite + Send>>>,
    /// By which its output comes, if not by the engine.
    pipe: Option<pipe::Output>,
    /// What came while the pipe was waited for.
    early: Option<Bytes>,
    /// Whether the engine's stream has ended.
    is_silent: bool,
    stderr: Vec<u8>,
    ended: bool,
}

impl Process {
    /// Starts it, without a terminal: one would change every `\n` into `\r\n`.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn start(docker: &Docker, program: Program) -> anyhow::Result<Self> {
        let name = program.command.first().cloned().unwrap_or_default();
        let failed = || format!("start {name} in container {}", program.container);
        let place = match program.is_large {
            true => pipe::Place::find(docker, &program.container).await,
            false => None,
        };
        let command = match &place {
            Some(place) => place.command(&program.command, program.has_input),
            None => program.command.clone(),
        };
        let options = CreateExecOptions {
            attach_stdin: Some(program.has_input),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            env: Some(program.environment.clone()),
            cmd: Some(command),
            ..CreateExecOptions::default()
        };
        let id = docker
            .create_exec(&program.container, options)
            .await
            .with_context(failed)?
            .id;
        let options = StartExecOptions {
            output_capacity: Some(FRAME_BYTES_MAX),
            ..StartExecOptions::default()
        };
        let started = docker.start_exec(&id, Some(options)).await;
        let StartExecResults::Attached { output, input } = started.with_context(failed)? else {
            bail!("{}: the engine detached it", failed());
        };
        let mut process = Self {
            docker: docker.clone(),
            id,
            output,
            input: program.has_input.then_some(input),
            pipe: None,
            early: None,
            is_silent: false,
            stderr: Vec::new(),
            ended: false,
            name: name.clone(),
        };
        if let Some(place) = place {
            let connected = process.connect(place, program.has_input).await;
            connected.with_context(failed)?;
        }
        Ok(process)
    }

    /// Waits for the program's pipe; one that has none, or has ended, goes on without.
    async fn connect(&mut self, place: pipe::Place, has_input: bool) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if has_input {
                if let Some(sender) = place.sender()? {
                    place.remove();
                    self.input = Some(Box::pin(sender));
                    return Ok(());
                }
            } else if let Some(receiver) = place.receiver()? {
                self.pipe = Some(pipe::Output::new(receiver, place));
                return Ok(());
            }
            match tokio::time::timeout(LOOK_AGAIN, self.output.next()).await {
                Err(_) => {}
                Ok(None) => {
                    self.is_silent = true;
                    return Ok(());
                }
                Ok(Some(piece)) => match piece? {
                    LogOutput::StdErr { message } => {
                        if message.starts_with(pipe::NO_PIPE.as_bytes()) {
                            return Ok(());
                        }
                        self.keep_stderr(&message);
                    }
                    LogOutput::StdOut { message } | LogOutput::Console { message } => {
                        self.early = Some(message);
                        return Ok(());
                    }
                    LogOutput::StdIn { .. } => {}
                },
            }
        }
        bail!("it does not start")
    }

    /// Holds it to the last `cpus` CPUs of those that it may run on.
    ///
    /// # Errors
    /// When the kernel refuses; a program that has ended already needs no limit.
    pub async fn limit_cpus(&self, cpus: usize) -> anyhow::Result<()> {
        let failed = || format!("hold {} to {cpus} CPUs", self.name);
        let began = Instant::now();
        // The engine answers before the program runs.
        let pid = loop {
            let state = self.docker.inspect_exec(&self.id).await;
            let state = state.with_context(failed)?;
            if let Some(pid) = host_pid(&state) {
                break pid;
            }
            if state.exit_code.is_some() {
                return Ok(());
            }
            if began.elapsed() > START_MAX {
                bail!("{}: it does not start", failed());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        let narrow = || {
            let allowed = sched_getaffinity(Some(pid))?;
            let mut narrowed = CpuSet::new();
            let all = (0..CpuSet::MAX_CPU)
                .rev()
                .filter(|cpu| allowed.is_set(*cpu));
            all.take(cpus.max(1)).for_each(|cpu| narrowed.set(cpu));
            sched_setaffinity(Some(pid), &narrowed)
        };
        match narrow() {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            done => done.with_context(failed),
        }
    }

    /// The next piece of its standard output; `None` at its end.
    ///
    /// # Errors
    /// When the engine breaks off.
    pub async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        if let Some(piece) = self.early.take() {
            return Ok(Some(piece));
        }
        loop {
            let message = match &mut self.pipe {
                Some(pipe) => tokio::select! {
                    biased;
                    piece = pipe.next() => match piece.with_context(|| format!("read from {}", self.name))? {
                        Some(piece) => return Ok(Some(piece)),
                        None => {
                            self.pipe = None;
                            continue;
                        }
                    },
                    message = self.output.next(), if !self.is_silent => message,
                },
                None if self.is_silent => return Ok(None),
                None => self.output.next().await,
            };
            match message
                .transpose()
                .with_context(|| format!("read from {}", self.name))?
            {
                Some(LogOutput::StdOut { message } | LogOutput::Console { message }) => {
                    return Ok(Some(message));
                }
                Some(LogOutput::StdErr { message }) => self.keep_stderr(&message),
                Some(LogOutput::StdIn { .. }) => {}
                None => {
                    self.is_silent = true;
                    if self
                        .pipe
                        .as_mut()
                        .is_some_and(pipe::Output::was_never_opened)
                    {
                        self.pipe = None;
                    }
                }
            }
        }
    }

    fn keep_stderr(&mut self, message: &[u8]) {
        self.stderr.extend_from_slice(message);
        let excess = self.stderr.len().saturating_sub(STDERR_BYTES_MAX);
        self.stderr.drain(..excess);
    }

    /// Writes to its standard input.
    ///
    /// # Errors
    /// When it reads no more.
    pub async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let input = self
            .input
            .as_mut()
            .ok_or_else(|| anyhow!("{} has no input", self.name))?;
        input
            .write_all(bytes)
            .await
            .with_context(|| format!("write to {}", self.name))?;
        input
            .flush()
            .await
            .with_context(|| format!("write to {}", self.name))
    }

    /// Takes the input away, to be written while the output is read.
    pub fn take_input(&mut self) -> Option<Pin<Box<dyn AsyncWrite + Send>>> {
        self.input.take()
    }

    /// Ends its input.
    ///
    /// # Errors
    /// When the engine breaks off.
    pub async fn close_input(&mut self) -> anyhow::Result<()> {
        if let Some(mut input) = self.input.take() {
            input
                .shutdown()
                .await
                .with_context(|| format!("end the input of {}", self.name))?;
        }
        Ok(())
    }

    /// Reads what is left and asks how it ended; returns its complaints.
    ///
    /// # Errors
    /// Any exit code but 0, or none: the stream can end while the program still runs.
    pub async fn finish(mut self) -> anyhow::Result<String> {
        let (code, stderr) = self.wait().await?;
        match code {
            Some(0) => Ok(stderr),
            Some(code) => bail!("{} ended with code {code}: {stderr}", self.name),
            None => bail!(
                "the engine's stream of {} ended before the program: {stderr}",
                self.name
            ),
        }
    }

    async fn wait(&mut self) -> anyhow::Result<(Option<i64>, String)> {
        self.close_input().await?;
        while self.next().await?.is_some() {}
        let state = self
            .docker
            .inspect_exec(&self.id)
            .await
            .with_context(|| format!("ask how {} ended", self.name))?;
        self.ended = state.running != Some(true);
        let code = state.exit_code.filter(|_| self.ended);
        Ok((code, self.stderr()))
    }

    /// What it complained about so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

impl Drop for Process {
    /// The engine keeps a program running whose client is gone.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let (docker, id) = (self.docker.clone(), self.id.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { kill(&docker, &id).await });
        }
    }
}

/// Ends a program.
async fn kill(docker: &Docker, id: &str) {
    let Ok(state) = docker.inspect_exec(id).await else {
        return;
    };
    if let Some(pid) = host_pid(&state) {
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// The process id of a program that runs, which the engine gives as the host sees it.
fn host_pid(state: &ExecInspectResponse) -> Option<Pid> {
    let pid = state.pid.filter(|_| state.running == Some(true))?;
    Pid::from_raw(i32::try_from(pid).ok()?)
}
