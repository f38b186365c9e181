//! Programs run inside a container. No secret may stand in the arguments: the engine publishes
//! them in its events.

use anyhow::Context as _;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::{Stream, StreamExt as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::Engine;

/// The client's default of 8 KiB cuts long rows in pieces.
const FRAME_BYTES_MAX: usize = 256 * 1024;
/// More output than this is not a short answer.
const OUTPUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How a program ended.
#[derive(Clone, Debug, Default)]
pub struct ExecOutput {
    /// Its exit code.
    pub code: i64,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Engine {
    /// Runs a program, gives it `stdin` and waits for its end.
    ///
    /// # Errors
    /// When it cannot be started, or its end was not seen; another exit code than 0 is no error.
    pub async fn exec(
        &self,
        container: &str,
        command: &[&str],
        stdin: &str,
    ) -> anyhow::Result<ExecOutput> {
        let failed = || {
            format!(
                "run {} in container {container}",
                command.first().unwrap_or(&"")
            )
        };
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            // A terminal would turn \n into \r\n.
            tty: Some(false),
            cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            ..Default::default()
        };
        let exec = self
            .docker
            .create_exec(container, options)
            .await
            .with_context(failed)?;
        let start = StartExecOptions {
            output_capacity: Some(FRAME_BYTES_MAX),
            ..Default::default()
        };
        let started = self
            .docker
            .start_exec(&exec.id, Some(start))
            .await
            .with_context(failed)?;
        let StartExecResults::Attached {
            mut output,
            mut input,
        } = started
        else {
            anyhow::bail!("{}: the engine did not attach", failed());
        };
        let (stdout, stderr) = converse(&mut output, &mut input, stdin)
            .await
            .with_context(failed)?;
        let inspect = self
            .docker
            .inspect_exec(&exec.id)
            .await
            .with_context(failed)?;
        // A stream that ended without an exit code says nothing about the program.
        let code = inspect
            .exit_code
            .with_context(|| format!("{}: its end was not seen", failed()))?;
        Ok(ExecOutput {
            code,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        })
    }
}

/// Gives a program its input and takes all of its output, both at once: either may block the other.
async fn converse(
    output: &mut (impl Stream<Item = Result<LogOutput, bollard::errors::Error>> + Unpin),
    input: &mut (impl AsyncWrite + Unpin),
    stdin: &str,
) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let feed = async {
        // A program may end without reading all of it.
        let _ = input.write_all(stdin.as_bytes()).await;
        let _ = input.shutdown().await;
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let drain = async {
        while let Some(frame) = output.next().await {
            match frame? {
                LogOutput::StdErr { message } => stderr.extend_from_slice(&message),
                LogOutput::StdOut { message } | LogOutput::Console { message } => {
                    stdout.extend_from_slice(&message)
                }
                LogOutput::StdIn { .. } => {}
            }
            anyhow::ensure!(
                stdout.len() + stderr.len() < OUTPUT_BYTES_MAX,
                "too much output"
            );
        }
        anyhow::Ok(())
    };
    let ((), drained) = tokio::join!(feed, drain);
    drained?;
    Ok((stdout, stderr))
}
