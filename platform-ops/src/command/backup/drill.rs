//! `backup drill`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::ZonedDateTime;

use crate::backup::config::Config;
use crate::backup::drill::Drill;
use crate::backup::listing::{Listing, Proof};
use crate::backup::outcome;
use crate::backup::progress::Progress;
use crate::backup::schedule::{Opening, Window, both_zones};
use crate::backup::throwaway::Caps;
use crate::command::backup::Scene;
use crate::command::backup::setting::identities;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Arguments of `backup drill`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A drill that is begun by a timer of yours stays within a window: outside of it, it is refused, and the
next one is named; one that is not done when the window ends is stopped, and proves nothing.
  platform-ops backup drill latest --identity key.txt --window               that of [schedule]
  platform-ops backup drill latest --identity key.txt --window 02:00-05:00

Exit codes: 0 proven. 12 the set cannot be restored as it was saved. Not drilled, and as unproven as
before: 4 outside of the window, or no room, image or time; 13 a container did not get ready, or ended,
or the engine or the store does not answer.")]
pub struct Arguments {
    /// The set, or `latest`
    #[arg(default_value = "latest")]
    set: String,
    /// A folder, instead of the configured place
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// The age key that opens the set
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Only this database (repeatable); such a drill proves a part only
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Memory of each container
    #[arg(long, value_name = "BYTES", default_value = "1GiB")]
    memory: bytesize::ByteSize,
    /// Only within these hours, in the host's zone; those of backup.toml where none are given
    #[arg(long, value_name = "HOURS", num_args = 0..=1)]
    window: Option<Option<Window>>,
    /// How long a container may take until it answers
    #[arg(long, value_name = "TIME", default_value = "10m")]
    ready_max: humantime::Duration,
    /// CPUs of each container
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    cpus: f64,
}

/// Restores a set into throw-away containers.
///
/// # Errors
/// When no drill can be held; a set that cannot be restored ends with
/// [`Exit::VERIFICATION_FAILED`].
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let end = match arguments.window {
        Some(window) => {
            let schedule = Config::load(&session.root)?.schedule;
            let left = time_left(window.unwrap_or(schedule.window), &ZonedDateTime::now())?;
            // What comes before the drill takes of the same time.
            left.map(|left| Instant::now() + left)
        }
        None => None,
    };
    let _lock = session.lock("backup drill")?;
    let scene = Scene::look(session).await?;
    let store = scene.store(session, arguments.from.as_deref()).await?;
    let listing = Listing::read(&store).await?;
    let set = listing.choose(&arguments.set)?;
    let identities = identities(arguments.identity.as_deref())?;
    if set.manifest.encryption.is_some() && identities.is_empty() {
        return Err(
            Failure::usage("the set is encrypted, and the key of its run is gone")
                .try_next("--identity FILE with the key that is kept elsewhere")
                .into(),
        );
    }
    for name in &arguments.only {
        let mut databases = set.manifest.databases.iter();
        if !databases.any(|database| database.name == *name) {
            let what = format!("set {} holds no database {name}", set.id());
            return Err(Failure::new(Exit::NOTHING_TO_RESTORE, what).into());
        }
    }
    let defaults = Caps::default();
    let drill = Drill {
        docker: &scene.docker,
        store: &store,
        identities: &identities,
        identity: "escrow",
        only: arguments.only.clone(),
        caps: Caps {
            nano_cpus: (arguments.cpus * 1e9) as i64,
            memory_bytes: i64::try_from(arguments.memory.as_u64()).unwrap_or(i64::MAX),
            ..defaults
        },
        jobs: 2,
        ready_max: arguments.ready_max.into(),
        end,
        interrupt: &session.interrupt,
        guard: &session.guard,
    };
    let bytes = set.manifest.bytes();
    let progress = Progress::begin(session.output, "drill", bytes, session.options.json);
    // Containers of a drill that is killed are removed by the next run.
    outcome::update(session, |journal| journal.begin(set.id(), &store.display()));
    let held = async {
        let proof = drill.hold(set, &progress).await?;
        proof.store(&store).await?;
        anyhow::Ok(proof)
    };
    let held = held.await;
    drop(progress);
    tell(session, &scene.config, set.id(), &held);
    let proof = held?;
    session.audit.record("drill", set.id())?;
    session
        .output
        .result("drill", &proof, || text(Some(&proof)));
    Ok(match proof.faults.is_empty() {
        true => Exit::OK,
        false => Exit::VERIFICATION_FAILED,
    })
}

/// How long the window is open from now on; `None` for ever.
fn time_left(window: Window, now: &ZonedDateTime) -> anyhow::Result<Option<Duration>> {
    match window.opening(now) {
        Opening::Open { until } => Ok(until.map(|until| until.duration_since(now).unsigned_abs())),
        Opening::Closed { next } => {
            let what = format!(
                "a drill may begin at {window} only, and it is {}",
                both_zones(now)
            );
            let hint = format!("the next window begins at {}", both_zones(&next));
            Err(Failure::refused(what).try_next(hint).into())
        }
    }
}

/// Notes what came of a drill.
fn tell(session: &Session, config: &Config, set: &str, held: &anyhow::Result<Proof>) {
    let journal = outcome::update(session, |journal| {
        journal.settle(set);
        match held {
            Ok(proof) => journal.drilled(Ok(proof)),
            Err(error) => {
                let why = session.redactor.clean(&format!("{error:#}"));
                journal.drilled(Err(&why));
            }
        }
    });
    outcome::publish(session, config, &journal);
}

/// As people read it.
pub fn text(proof: Option<&Proof>) -> String {
    let Some(proof) = proof else {
        return "not drilled: it does not count until `platform-ops backup drill` has".to_owned();
    };
    let mut text = String::new();
    for check in &proof.checks {
        text += &format!("  ok     {check}\n");
    }
    for fault in &proof.faults {
        text += &format!("  WRONG  {fault}\n");
    }
    let verdict = match (proof.faults.is_empty(), proof.complete) {
        (true, true) => "proven",
        (true, false) => "a part of it is proven",
        (false, _) => "NOT proven",
    };
    text + &format!("set {}: {verdict}, in {:.0} s", proof.set, proof.seconds)
}
