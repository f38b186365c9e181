//! PgBouncer's clients wait while a password changes, and go on whatever becomes of this program.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::backup::exec::{Process, Program};
use crate::container::Container;
use crate::failure::Failure;
use crate::pooler::Console;
use crate::session::Session;
use crate::settings::Settings;

/// Longer than anything that is done while clients wait.
const GUARD_MARGIN: Duration = Duration::from_secs(30);

/// Runs beside PgBouncer, out of reach of what ends this program: when its input ends without a
/// word, or none comes in time, PgBouncer reads its files and lets its clients go on. The second
/// signal is for a PAUSE that was still on its way.
const GUARD: &str = "trap '' TERM HUP INT; echo ready; read -r -t SECONDS word; \
    [ \"$word\" = done ] || { kill -HUP 1; kill -USR2 1; sleep 1; kill -USR2 1; }";

/// A pause under way.
pub struct Pause {
    console: Console,
    guard: Process,
    begin: Instant,
}

impl Pause {
    /// Holds all clients back, waiting `within` for transactions that are open.
    ///
    /// # Errors
    /// When they do not end, or a signal came; nothing is paused then.
    pub async fn begin(
        session: &Session,
        settings: &Settings,
        container: &Container,
        within: Duration,
    ) -> anyhow::Result<Self> {
        let console = Console::connect(settings, container).await?;
        // The one that waits for PAUSE takes no other command.
        let spare = Console::connect(settings, container).await?;
        let mut guard = guard(session, container, within + GUARD_MARGIN).await?;
        let begin = Instant::now();
        let paused = tokio::select! {
            paused = console.run_within("PAUSE", within) => paused.map(drop).with_context(|| {
                let what = format!("transactions through PgBouncer are still open after {} s; nothing was changed", within.as_secs());
                Failure::refused(what)
                    .try_next("platform-ops pooler show servers; --within 1m, or a quieter moment (with session pooling clients have to leave)")
            }),
            () = session.interrupt.wait() => Err(session.interrupt.failure().into()),
        };
        if let Err(error) = paused {
            drop(console);
            spare.resume(None).await?;
            release(&mut guard).await;
            return Err(error);
        }
        Ok(Self {
            console,
            guard,
            begin,
        })
    }

    /// Lets PgBouncer read its files.
    ///
    /// # Errors
    /// With the console's answer.
    pub async fn reload(&mut self) -> anyhow::Result<()> {
        self.console.run("RELOAD").await.map(drop)
    }

    /// Lets clients go on; how long they waited.
    ///
    /// # Errors
    /// With the console's answer; the guard then lets them go on.
    pub async fn end(mut self) -> anyhow::Result<Duration> {
        self.console.resume(None).await?;
        let waited = self.begin.elapsed();
        release(&mut self.guard).await;
        Ok(waited)
    }
}

async fn guard(
    session: &Session,
    container: &Container,
    time: Duration,
) -> anyhow::Result<Process> {
    let script = GUARD.replace("SECONDS", &time.as_secs().to_string());
    let mut program = Program::new(&container.name, ["bash", "-c", &script]);
    program.has_input = true;
    let mut guard = Process::start(session.engine().await?.docker(), program).await?;
    let ready = guard.next().await?;
    ready.with_context(|| format!("the guard of the pause did not start: {}", guard.stderr()))?;
    Ok(guard)
}

/// Tells the guard that all is well. One that does not hear it does no harm.
async fn release(guard: &mut Process) {
    let _ = guard.write(b"done\n").await;
    let _ = guard.close_input().await;
}
