//! `backup create`.

use std::path::PathBuf;

use jiff::{Timestamp, ZonedDateTime};
use serde::Serialize;

use crate::backup::config::Config;
use crate::backup::create::{Job, Made, exit_of};
use crate::backup::drill::Drill;
use crate::backup::journal::{self, Journal};
use crate::backup::key::Recipients;
use crate::backup::listing::{Proof, Set};
use crate::backup::outcome::{self, Ended};
use crate::backup::progress::Progress;
use crate::backup::schedule::{Due, both_zones, local};
use crate::backup::sweep;
use crate::backup::throwaway::{Caps, READY_MAX};
use crate::command::backup::Scene;
use crate::exit::Exit;
use crate::session::Session;

/// Arguments of `backup create`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing of the backup's size is held in memory or on disk. The set exists when its manifest does,
which goes last, after every byte was read back and opened with a key of this run alone. The drill
restores it in containers of the same images, without a network, and asks for what was saved.

A run that is killed leaves no set. What is there of it cannot be gone on with, for its snapshot and
its key ended with it: the next run deletes it, aborts its uploads and ends its sessions.

Exit codes: 0 proven, 3 made with warnings or without a drill, 4 refused, 12 the drill failed.")]
pub struct Arguments {
    /// A folder, instead of the configured place
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Do not restore it: the set does not count until a drill has
    #[arg(long)]
    no_drill: bool,
    /// Store password verifiers and configuration readable by all who can read the store
    #[arg(long)]
    allow_plaintext_secrets: bool,
    /// The cluster is another than that of the last set, or much smaller, and should be
    #[arg(long)]
    accept_new_cluster: bool,
    /// Only if one is due by `[schedule]` of backup.toml: for a timer
    #[arg(long, conflicts_with = "to")]
    scheduled: bool,
}

#[derive(Serialize)]
struct Dry {
    store: String,
    databases: Vec<String>,
    databases_excluded: Vec<String>,
    redis: bool,
    folders: Vec<PathBuf>,
    recipients: Vec<String>,
}

#[derive(Serialize)]
struct Summary<'a> {
    set: &'a str,
    store: String,
    bytes: u64,
    databases: usize,
    warnings: &'a [String],
    notes: &'a [String],
    drill: Option<&'a Proof>,
}

/// Makes a set.
///
/// # Errors
/// Whatever stage failed; then there is no set.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    if arguments.scheduled && !is_due(session, true)? {
        return Ok(Exit::OK);
    }
    let _lock = session.lock("backup create")?;
    if session.options.dry_run {
        let scene = Scene::look(session).await?;
        return dry(session, &job(session, arguments, &scene).await?).await;
    }
    // Another run may have made it while this one waited for the lock.
    if arguments.scheduled && !is_due(session, false)? {
        return Ok(Exit::OK);
    }
    // What trades comes first.
    let _ = rustix::process::nice(10);
    let began = Timestamp::now();
    let mut made = None;
    let ended = make(session, arguments, &mut made).await;
    // A set in another place is not the one that the schedule waits for.
    if arguments.to.is_none() {
        let config = Config::load(&session.root).unwrap_or_default();
        let exit = ended.as_ref().copied();
        outcome::tell(session, &config, Ended { began, made, exit }).await;
    }
    ended
}

/// Whether the schedule wants a backup now; why it does is said if `first`.
fn is_due(session: &Session, first: bool) -> anyhow::Result<bool> {
    let schedule = Config::load(&session.root)?.schedule;
    // A journal that cannot be read is begun anew by the run.
    let journal = Journal::load(&session.root).unwrap_or_default();
    let now = ZonedDateTime::now();
    match schedule.due(&now, journal.made.map(|made| made.created)) {
        Due::Now { missed } => {
            let why = if missed {
                "the last window passed without a set"
            } else {
                "due"
            };
            if first {
                session.output.note(&format!("{}: {why}", both_zones(&now)));
            }
            Ok(true)
        }
        Due::No { next } => {
            session
                .output
                .text(&format!("nothing is due before {}", both_zones(&next)));
            Ok(false)
        }
        Due::Held { until } => {
            session.output.text(&format!(
                "the last window passed without a set; it is made after trading hours, at {}",
                both_zones(&until)
            ));
            Ok(false)
        }
    }
}

/// Makes a set and has it drilled; `noted` is what the journal should know of it.
async fn make(
    session: &Session,
    arguments: &Arguments,
    noted: &mut Option<journal::Made>,
) -> anyhow::Result<Exit> {
    let scene = Scene::look(session).await?;
    let job = job(session, arguments, &scene).await?;
    job.server.end_left_sessions().await?;
    let left = sweep::dead(session, &scene.docker, &job.store).await?;
    for left in &left {
        session.output.note(&format!("warning: {left}"));
    }
    let made = job.run(session).await?;
    session.audit.record("backup", &made.manifest.set)?;
    *noted = Some(journal::Made {
        set: made.manifest.set.clone(),
        created: made.manifest.created,
        bytes: made.manifest.bytes(),
    });
    let proof = match arguments.no_drill {
        true => None,
        false => drill(session, &scene, &job, &made).await?,
    };
    outcome::observe(session, &job.store).await;
    outcome::update(session, |journal| journal.settle(&made.manifest.set));
    Ok(report(session, &job, &made, proof.as_ref()))
}

/// The set is there whatever comes of its drill.
async fn drill(
    session: &Session,
    scene: &Scene,
    job: &Job,
    made: &Made,
) -> anyhow::Result<Option<Proof>> {
    match prove(session, scene, job, made).await {
        Ok(proof) => {
            outcome::update(session, |journal| journal.drilled(Ok(&proof)));
            Ok(Some(proof))
        }
        Err(error) => {
            session.interrupt.check()?;
            let why = session.redactor.clean(&format!("{error:#}"));
            session
                .output
                .note(&format!("warning: no drill was held: {why}"));
            outcome::update(session, |journal| journal.drilled(Err(&why)));
            Ok(None)
        }
    }
}

async fn job(session: &Session, arguments: &Arguments, scene: &Scene) -> anyhow::Result<Job> {
    let config = &scene.config;
    let root = &session.root;
    let mut folders: Vec<PathBuf> = [root.config(), root.apps()].into();
    folders.retain(|folder| folder.is_dir());
    folders.extend(config.folders.iter().cloned());
    Ok(Job {
        server: scene.server(&std::process::id().to_string()).await?,
        redis: scene.redis().await?,
        exclude: config.exclude_databases.clone(),
        folders,
        store: scene.store(session, arguments.to.as_deref()).await?,
        recipients: Recipients::parse(config.recipients.iter().map(String::as_str))?,
        allow_plaintext_secrets: arguments.allow_plaintext_secrets,
        accept_new_cluster: arguments.accept_new_cluster,
        limits: config.limits,
        progress_lines: session.options.json,
    })
}

async fn dry(session: &Session, job: &Job) -> anyhow::Result<Exit> {
    let (databases, databases_excluded) = job.databases().await?;
    let dry = Dry {
        store: job.store.display(),
        databases: databases
            .into_iter()
            .map(|database| database.name)
            .collect(),
        databases_excluded,
        redis: job.redis.is_some(),
        folders: job.folders.clone(),
        recipients: job.recipients.names(),
    };
    session.output.result("backup_plan", &dry, || {
        let folders: Vec<String> =
            dry.folders.iter().map(|folder| folder.display().to_string()).collect();
        format!(
            "to {}\n  databases  {}\n  left out   {}\n  redis      {}\n  folders    {}\n  for        {}",
            dry.store,
            dry.databases.join(", "),
            dry.databases_excluded.join(", "),
            if dry.redis { "yes" } else { "does not run here" },
            folders.join(", "),
            dry.recipients.join(", "),
        )
    });
    Ok(Exit::OK)
}

async fn prove(session: &Session, scene: &Scene, job: &Job, made: &Made) -> anyhow::Result<Proof> {
    let set = Set {
        manifest: made.manifest.clone(),
        manifest_sha256: made.manifest_sha256.clone(),
        proofs: Vec::new(),
    };
    let drill = Drill {
        docker: &scene.docker,
        store: &job.store,
        identities: &made.identities,
        identity: "run",
        only: Vec::new(),
        caps: Caps::default(),
        jobs: 2,
        ready_max: READY_MAX,
        end: None,
        interrupt: &session.interrupt,
        guard: &session.guard,
    };
    let lines = session.options.json;
    let progress = Progress::begin(session.output, "drill", set.manifest.bytes(), lines);
    let proof = drill.hold(&set, &progress).await?;
    proof.store(&job.store).await?;
    Ok(proof)
}

fn report(session: &Session, job: &Job, made: &Made, proof: Option<&Proof>) -> Exit {
    let manifest = &made.manifest;
    let summary = Summary {
        set: &manifest.set,
        store: job.store.display(),
        bytes: manifest.bytes(),
        databases: manifest.databases.len(),
        warnings: &manifest.warnings,
        notes: &manifest.notes,
        drill: proof,
    };
    session.output.result("backup", &summary, || {
        let mut text = format!(
            "set {} in {}: {} databases, {}\n",
            summary.set,
            summary.store,
            summary.databases,
            bytesize::ByteSize(summary.bytes)
        );
        for warning in summary.warnings {
            text += &format!("  warning: {warning}\n");
        }
        for note in &manifest.notes {
            text += &format!("  note: {note}\n");
        }
        text += &format!("  made: {}\n", local(manifest.created));
        text += &super::drill::text(proof);
        text
    });
    let faults = proof.map(|proof| proof.faults.clone()).unwrap_or_default();
    match proof {
        None => Exit::WARNINGS,
        Some(_) => exit_of(&faults, &manifest.warnings),
    }
}
