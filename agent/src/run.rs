//! `platform-agent run`: everything put together.

use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use agent_core::{Pipeline, Settings, stamp};
use anyhow::{Context, Result};
use jiff::Timestamp;
use oci::{Client, ClientOptions, ConfigSource, Credentials, Endpoint, LogClient, Service};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{self, Board};
use crate::config::Config;
use crate::discover::Discovery;
use crate::engine::losses::Losses;
use crate::engine::{Engine, Message};
use crate::files::Files;
use crate::ledger::LedgerFile;
use crate::quarantine::Quarantine;
use crate::saving::{self, Save};
use crate::sender::Sender;
use crate::spool::{self, Answer, Request, Spool};
use crate::store::{self, Store};
use crate::watch::Watch;
use crate::{heartbeat, host, memory, priority};

/// Exit code after a second signal, as a shell gives it for SIGINT.
const INTERRUPTED: i32 = 130;

/// Ships until a signal comes.
///
/// # Errors
/// Whatever keeps it from starting.
pub fn run(config: &Config) -> Result<()> {
    name_credentials(config)?;
    let started = Instant::now();
    // Before any thread is started: they inherit it.
    priority::stand_back(config.limits.nice);
    let open_files_max = priority::open_files_max(config.source.open_files_max);
    let store = Store::open(&config.state.dir)?;
    let mut core = pipeline(config, &store)?;
    let file = LedgerFile::new(&config.state.dir);
    let ledger = file.load().context("cannot read the loss ledger")?;
    let runtime = runtime()?;
    let client = log_client(config, &runtime)?;
    let (outbox, inbox) = mpsc::channel();
    let (saves, to_save) = mpsc::channel::<Save>();
    let saved = outbox.clone();
    std::thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || {
            saving::run(&store, &file, &to_save, |id, result| {
                if let Err(error) = &result {
                    tracing::error!("the checkpoint cannot be saved: {error}");
                }
                saved.send(Message::Saved(id, result.ok())).is_ok()
            });
        })?;
    let board = Board::new(started);
    admin::serve(&config.admin, &board).context("the admin endpoint cannot be opened")?;
    spawn_signals(&runtime, outbox.clone())?;
    let watch = watch(config, &outbox);
    if let Some(every) = config.heartbeat {
        let beating = heartbeat::run(config.clone(), every, client.clone(), board.clone());
        runtime.spawn(beating);
    }
    let spool = spool(config, &mut core, &outbox)?;
    let log_id = config.logging.log_id.clone();
    let sender = Sender::new(
        runtime.handle().clone(),
        client,
        log_id,
        config.logging.encoding,
    );
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        containers = %config.source.containers_dir.display(),
        log = %config.logging.log_id,
        "started"
    );
    let engine = Engine {
        core,
        discovery: Discovery::new(&config.source, host::own_container()),
        files: Files::new(&config.source.containers_dir, open_files_max),
        watch,
        sender,
        saves,
        inbox,
        outbox,
        board,
        scan_interval: config.source.scan_interval,
        held_bytes_max: config.source.held_bytes_max,
        min_free: config.limits.min_free,
        losses: Losses::new(ledger),
        quarantine: Quarantine::new(&config.state.dir, config.quarantine_bytes_max),
        spool,
        grace: config.grace,
        started,
    };
    engine.run();
    runtime.shutdown_background();
    Ok(())
}

/// Opens the spool: what is in it is sent first, also when no more may go into it.
fn spool(
    config: &Config,
    core: &mut Pipeline,
    outbox: &mpsc::Sender<Message>,
) -> Result<Option<mpsc::Sender<Request>>> {
    let (dir, floor) = (&config.state.dir, config.limits.min_free);
    let spool = Spool::open(dir, config.spool_bytes_max, floor)
        .with_context(|| format!("the spool in {} cannot be opened", dir.display()))?;
    let found = spool.found();
    if config.spool_bytes_max == 0 && found.is_empty() {
        return Ok(None);
    }
    if !found.is_empty() {
        tracing::info!(batches = found.len(), "sending what is in the spool");
    }
    core.adopt(&found);
    let usage = spool.usage();
    let answers = outbox.clone();
    let tell = move |answer, usage| answers.send(Message::Spool(answer, usage)).is_ok();
    tell(Answer::Forgotten, usage);
    Ok(Some(spool::start(spool, tell)?))
}

/// What sends.
///
/// # Errors
/// When the kernel gives no thread.
pub fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the sending thread")
}

/// Where the credentials are.
pub fn config_source(config: &Config) -> ConfigSource {
    ConfigSource {
        file: config.oci.config_file.clone(),
        profile: config.oci.profile.clone(),
        region: config.oci.region.clone(),
        ..ConfigSource::process()
    }
}

/// The client for the configured log.
///
/// # Errors
/// When credentials, region or endpoint are wrong.
pub fn log_client(config: &Config, runtime: &Runtime) -> Result<LogClient> {
    let credentials = Credentials::load(config.oci.auth, &config_source(config))?;
    log_client_of(config, credentials, runtime)
}

/// The client for the configured log, with these credentials.
///
/// # Errors
/// When region or endpoint are wrong.
pub fn log_client_of(
    config: &Config,
    credentials: Credentials,
    runtime: &Runtime,
) -> Result<LogClient> {
    let options = ClientOptions {
        connect_timeout: config.send.connect_timeout,
        request_timeout: config.send.timeout,
        ca_bundle: config.oci.ca_bundle.clone(),
        ..ClientOptions::default()
    };
    let client = Client::new(credentials, &options)?;
    let endpoint = match &config.logging.endpoint {
        Some(endpoint) => Endpoint::parse(endpoint)?,
        None => {
            let region = runtime.block_on(client.region())?;
            Endpoint::of(Service::LoggingIngestion, &region)?
        }
    };
    Ok(LogClient::new(client, endpoint))
}

/// Says who signs in, why, and what is wrong with the files that hold the secrets.
fn name_credentials(config: &Config) -> Result<()> {
    let source = config_source(config);
    let choice = Credentials::choice(config.oci.auth, &source)?;
    tracing::info!("signing in with {}: {}", choice.kind.name(), choice.reason);
    for warning in Credentials::warnings(choice.kind, &source) {
        tracing::warn!("{warning}");
    }
    Ok(())
}

fn pipeline(config: &Config, store: &Store) -> Result<Pipeline> {
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let seed = store::random().map_err(|_| anyhow::anyhow!("no random numbers to be had"))?;
    let settings = settings(config, wall, seed)?;
    for found in store.load()? {
        match Pipeline::resume(settings.clone(), &found.bytes) {
            Ok(pipeline) => {
                if found.is_previous {
                    tracing::warn!("going on from the previous checkpoint: some lines repeat");
                }
                return Ok(pipeline);
            }
            // Another release's file is not ours to overwrite.
            Err(error @ agent_core::CheckpointError::Version(_)) => return Err(error.into()),
            Err(error) => {
                tracing::error!("{error}");
                if !found.is_previous {
                    store
                        .set_damaged_aside()
                        .context("cannot set the checkpoint aside")?;
                }
            }
        }
    }
    tracing::info!(start_at = %settings.start_cutoff, "no checkpoint: the very first start");
    Ok(Pipeline::new(settings, seed, wall))
}

fn settings(config: &Config, wall: Duration, seed: u64) -> Result<Settings> {
    let source = &config.source;
    let now = Timestamp::new(i64::try_from(wall.as_secs())?, 0)?;
    let start_cutoff = source
        .start_at
        .cutoff(now)
        .map_or_else(String::new, |time| {
            stamp::from_wall(Duration::from_secs(
                u64::try_from(time.as_second()).unwrap_or(0),
            ))
        });
    let host = host::name(source);
    if host.is_container_id() {
        tracing::warn!(
            "the host is called {} (by {}), which is a container's id: set source.host",
            host.name,
            host.origin
        );
    }
    Ok(Settings {
        source: host.name,
        type_prefix: source.type_prefix.clone(),
        nanoseconds: source.nanoseconds,
        part_marks: source.part_marks,
        gap_markers: source.gap_markers,
        batch_bytes_max: usize::try_from(config.batch.bytes_max)?,
        batch_age_max: config.batch.age_max,
        in_flight_max: config.send.in_flight_max,
        memory_bytes_max: memory::plan(config)
            .map_err(|error| anyhow::anyhow!("memory.budget {error}"))?,
        start_cutoff,
        retention: config.logging.retention,
        poll_interval: source.poll_interval,
        poll_interval_max: source.poll_interval_max,
        join_age_max: source.join_age_max,
        save_interval: config.state.save_interval,
        spool: config.spool_bytes_max > 0,
        bytes_per_second_max: config.send.bytes_per_second_max,
        seed,
    })
}

fn watch(config: &Config, outbox: &mpsc::Sender<Message>) -> Option<Watch> {
    if !config.source.watch {
        return None;
    }
    let outbox = outbox.clone();
    match Watch::start(move |sightings| outbox.send(Message::Sighted(sightings)).is_ok()) {
        Ok(watch) => Some(watch),
        Err(error) => {
            tracing::warn!("no inotify ({error}): containers are found by scans only");
            None
        }
    }
}

fn spawn_signals(runtime: &Runtime, outbox: mpsc::Sender<Message>) -> Result<()> {
    let _context = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    runtime.spawn(async move {
        for asked in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked > 0 || outbox.send(Message::Drain).is_err() {
                std::process::exit(INTERRUPTED);
            }
        }
    });
    Ok(())
}
