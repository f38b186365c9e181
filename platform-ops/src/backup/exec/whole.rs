//! Programs whose output is small, run to their end.

use anyhow::{Context as _, anyhow, bail};
use bollard::Docker;
use tokio::io::AsyncWriteExt as _;

use super::{Process, Program};

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// The end of its complaints.
    pub stderr: String,
    /// Its exit code.
    pub code: i64,
}

/// Runs a program to its end, feeding `input` while its output is read.
///
/// # Errors
/// When the engine breaks off or output exceeds `stdout_bytes_max`; an exit code is no error here.
pub async fn run(
    docker: &Docker,
    mut program: Program,
    input: &[u8],
    stdout_bytes_max: usize,
) -> anyhow::Result<Ended> {
    program.has_input = !input.is_empty();
    let mut process = Process::start(docker, program).await?;
    let mut writer = process.take_input();
    let feed = async {
        if let Some(writer) = &mut writer {
            // A program that ends early says why in its exit code.
            let _ = writer.write_all(input).await;
            let _ = writer.shutdown().await;
        }
    };
    let read = async {
        let mut stdout = Vec::new();
        while let Some(piece) = process.next().await? {
            if stdout.len() + piece.len() > stdout_bytes_max {
                bail!(
                    "{} printed more than {stdout_bytes_max} bytes",
                    process.name
                );
            }
            stdout.extend_from_slice(&piece);
        }
        Ok(stdout)
    };
    let ((), stdout) = tokio::join!(feed, read);
    let stdout = stdout?;
    let (code, stderr) = process.wait().await?;
    let code = code.ok_or_else(|| anyhow!("the engine's stream of {} broke off", process.name))?;
    Ok(Ended {
        stdout,
        stderr,
        code,
    })
}

/// The same, where any exit code but 0 is an error; its output as text.
///
/// # Errors
/// Those of [`run`], and how the program ended.
pub async fn text(docker: &Docker, program: Program, input: &[u8]) -> anyhow::Result<String> {
    let name = program.command.first().cloned().unwrap_or_default();
    let ended = run(docker, program, input, 64 << 20).await?;
    if ended.code != 0 {
        bail!("{name} ended with code {}: {}", ended.code, ended.stderr);
    }
    String::from_utf8(ended.stdout).with_context(|| format!("the output of {name}"))
}
