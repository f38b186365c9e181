//! PgBouncer's clients wait while a password changes, and go on whatever becomes of this program.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::Pid;

use crate::backup::exec::{Process, Program};
use crate::container::Container;
use crate::failure::Failure;
use crate::guard::{Duty, Held};
use crate::pooler::Console;
use crate::session::Session;
use crate::settings::Settings;

/// Longer than anything that is done while clients wait.
const GUARD_MARGIN: Duration = Duration::from_secs(30);
/// What is left of [`GUARD`] after its run ended without a word, at most.
const GUARD_END_MAX: Duration = Duration::from_secs(13);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Runs beside PgBouncer, out of reach of what ends this program and all its children: when its
/// input ends without a word, or none comes in time, PgBouncer reads its files and lets its clients
/// go on. Before that the run's own guard has time to set the files right. The second signal is for
/// a PAUSE that was still on its way.
const GUARD: &str = "trap '' TERM HUP INT; echo ready; read -r -t SECONDS word; \
    [ \"$word\" = done ] || { sleep 10; kill -HUP 1; kill -USR2 1; sleep 1; kill -USR2 1; }";
/// By this it is known among the container's processes.
const GUARD_MARK: &str = "echo ready; read -r -t";

/// A pause under way.
pub struct Pause {
    console: Console,
    guard: Process,
    held: Held,
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
        wait_for_others(session, container).await;
        let mut guard = guard(session, container, within + GUARD_MARGIN).await?;
        let held = session.guard.hold(Duty::Settle)?;
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
            held.done();
            return Err(error);
        }
        Ok(Self {
            console,
            guard,
            held,
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

    /// Lets clients go on; how long they waited. What is not settled, because the change failed
    /// halfway, the run's guard settles at its end, if nothing else has.
    ///
    /// # Errors
    /// With the console's answer; the guards then let them go on.
    pub async fn end(mut self, is_settled: bool) -> anyhow::Result<Duration> {
        self.console.resume(None).await?;
        let waited = self.begin.elapsed();
        if is_settled {
            self.held.done();
        }
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

/// Host process ids of the guards that run beside PgBouncer. This needs the host's `ps`: without it
/// none is found.
async fn others(session: &Session, container: &Container) -> Vec<Pid> {
    let Ok(engine) = session.engine().await else {
        return Vec::new();
    };
    let listed = engine.docker().top_processes(&container.name, None).await;
    let Ok(listed) = listed else {
        return Vec::new();
    };
    let titles = listed.titles.unwrap_or_default();
    let column = titles.iter().position(|title| title == "PID");
    let rows = listed.processes.unwrap_or_default();
    let guards = rows
        .iter()
        .filter(|row| row.iter().any(|cell| cell.contains(GUARD_MARK)));
    let pid = |row: &Vec<String>| Pid::from_raw(row.get(column?)?.parse().ok()?);
    guards.filter_map(pid).collect()
}

/// A guard that a killed run left would end our own pause before its time.
async fn wait_for_others(session: &Session, container: &Container) {
    let deadline = Instant::now() + GUARD_END_MAX;
    while !others(session, container).await.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Ends the guards beside PgBouncer, once nobody waits: they have nothing left to do.
pub(super) async fn dismiss(session: &Session, container: &Container) {
    for pid in others(session, container).await {
        // Its number may be another's by now.
        let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
        let command = std::fs::read(path).unwrap_or_default();
        if !String::from_utf8_lossy(&command).contains(GUARD_MARK) {
            continue;
        }
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
