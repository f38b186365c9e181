//! Waiting until a container is healthy.

use std::time::{Duration, Instant};

use super::Engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;

/// The engine's health events say nothing of containers without a check, so the state is read.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// A container without a health check must have run this long: one that fails does so at once.
const STEADY: Duration = Duration::from_secs(2);
/// A container that was just made is there by then.
const ABSENT_MAX: Duration = Duration::from_secs(5);
/// Lines of its log shown with a failure.
const LOG_LINES: &str = "8";

impl Engine {
    /// Waits until a container runs and is healthy.
    ///
    /// # Errors
    /// When it ends, turns unhealthy, or is not healthy within `wait_max`; with the end of its log.
    pub async fn wait_healthy(
        &self,
        name: &str,
        wait_max: Duration,
        interrupt: &Interrupt,
    ) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            interrupt.check()?;
            let Some(container) = self.container(name).await? else {
                // While containers are renamed the engine can miss one for a moment.
                if begin.elapsed() < ABSENT_MAX {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    continue;
                }
                return Err(
                    Failure::new(Exit::FAILED, format!("container {name} is not there")).into(),
                );
            };
            let settled = container.health.is_some() || begin.elapsed() >= STEADY;
            if container.is_healthy() && settled {
                return Ok(());
            }
            let state = container.state.as_str();
            let why = match container.health.as_deref() {
                _ if state == "exited" || state == "dead" => {
                    Some(format!("ended with code {}", container.exit_code))
                }
                _ if state == "restarting" => Some(format!(
                    "restarts again and again, code {}",
                    container.exit_code
                )),
                Some("unhealthy") => {
                    Some(format!("is unhealthy: {}", container.health_output.trim()))
                }
                _ if begin.elapsed() > wait_max => {
                    Some(format!("is not healthy after {} s", wait_max.as_secs()))
                }
                _ => None,
            };
            if let Some(why) = why {
                let log = self.log_end(name).await;
                return Err(anyhow::anyhow!("the end of its log:\n{log}").context(
                    Failure::new(Exit::FAILED, format!("container {name} {why}"))
                        .try_next(format!("docker logs {name}")),
                ));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = interrupt.wait() => {}
            }
        }
    }

    /// The last lines of a container's log, for an error.
    async fn log_end(&self, name: &str) -> String {
        use bollard::query_parameters::LogsOptionsBuilder;
        use futures_util::StreamExt as _;
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .tail(LOG_LINES)
            .build();
        let lines = self.docker.logs(name, Some(options));
        let lines: Vec<String> = lines
            .filter_map(|line| async {
                line.ok()
                    .map(|line| format!("    {}", line.to_string().trim_end()))
            })
            .collect()
            .await;
        lines.join("\n")
    }
}
