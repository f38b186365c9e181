//! `backup create`.

use std::path::PathBuf;

use serde::Serialize;

use crate::backup::create::{Job, Made, exit_of};
use crate::backup::drill::Drill;
use crate::backup::key::Recipients;
use crate::backup::listing::{Proof, Set};
use crate::backup::progress::Progress;
use crate::backup::throwaway::Caps;
use crate::command::backup::Scene;
use crate::exit::Exit;
use crate::session::Session;

/// Arguments of `backup create`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing of the backup's size is held in memory or on disk. The set exists when its manifest does,
which goes last, after every byte was read back and opened with a key of this run alone. The drill
restores it in containers of the same images, without a network, and asks for what was saved.

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
    let _lock = session.lock("backup create")?;
    let scene = Scene::look(session).await?;
    let job = job(session, arguments, &scene).await?;
    if session.options.dry_run {
        return dry(session, &job).await;
    }
    // What trades comes first.
    let _ = rustix::process::nice(10);
    let made = job.run(session).await?;
    session.audit.record("backup", &made.manifest.set)?;
    let proof = match arguments.no_drill {
        true => None,
        false => Some(prove(session, &scene, &job, &made).await?),
    };
    Ok(report(session, &job, &made, proof.as_ref()))
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
        text += &super::drill::text(proof);
        text
    });
    let faults = proof.map(|proof| proof.faults.clone()).unwrap_or_default();
    match proof {
        None => Exit::WARNINGS,
        Some(_) => exit_of(&faults, &manifest.warnings),
    }
}
