//! `platform-agent run`: everything put together.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime};

use agent_core::spool::Spooled;
use agent_core::{Pipeline, Settings, stamp};
use anyhow::{Context, Result};
use jiff::Timestamp;
use oci::{Client, ClientOptions, ConfigSource, Credentials, Endpoint, LogClient, Service};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{self, Board, Snapshot};
use crate::config::Config;
use crate::discover::Discovery;
use crate::engine::losses::Losses;
use crate::engine::{Engine, Message};
use crate::files::Files;
use crate::ledger::LedgerFile;
use crate::quarantine::Quarantine;
use crate::saving::{self, Save};
use crate::sender::Sender;
use crate::shard::{self, Parts, Shard};
use crate::spool::{self, Spool};
use crate::store::{self, Store};
use crate::watch::Watch;
use crate::{cpu, greeting, heartbeat, host, memory, priority};

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
    let count = config.limits.pipelines;
    let open_files_max = priority::open_files_max(config.source.open_files_max) / count;
    let store = Store::open(&config.state.dir)?;
    let (mut cores, parts) = pipelines(config, &store)?;
    let file = LedgerFile::new(&config.state.dir);
    let ledger = file.load().context("cannot read the loss ledger")?;
    let runtime = runtime()?;
    let client = log_client(config, &runtime)?;
    let (outboxes, inboxes): (Vec<_>, Vec<_>) = cores.iter().map(|_| mpsc::channel()).unzip();
    let saves = spawn_store((store, file), parts, outboxes.clone())?;
    let board = Board::new(started, count);
    // What was lost before is known from the first question on.
    let known = Snapshot {
        losses: ledger.clone(),
        ..Snapshot::default()
    };
    board.put_up(0, known);
    admin::serve(&config.admin, &board).context("the admin endpoint cannot be opened")?;
    spawn_signals(&runtime, outboxes.clone())?;
    spawn_own_words(config, &runtime, &client, &board, &outboxes);
    let spool = spool(config, &mut cores, &outboxes)?;
    let mut ledger = Some(ledger);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        containers = %config.source.containers_dir.display(),
        log = %config.logging.log_id,
        pipelines = count,
        cpu = cpu::report(),
        "started"
    );
    let quarantine = Quarantine::new(&config.state.dir, config.quarantine_bytes_max);
    let quarantine = Arc::new(Mutex::new(quarantine));
    let own_container = host::own_container();
    let channels = outboxes.into_iter().zip(inboxes);
    let engines = Shard::all(count).zip(cores).zip(channels);
    let engines = engines.map(|((shard, core), (outbox, inbox))| Engine {
        shard,
        core,
        discovery: Discovery::new(&config.source, own_container).within(shard),
        files: Files::new(&config.source.containers_dir, open_files_max),
        watch: watch(config, &outbox),
        sender: Sender::new(
            runtime.handle().clone(),
            client.clone(),
            config.logging.log_id.clone(),
            config.logging.encoding,
        ),
        saves: saves.clone(),
        inbox,
        outbox,
        board: board.clone(),
        scan_interval: config.source.scan_interval,
        held_bytes_max: config.source.held_bytes_max / count as u64,
        min_free: config.limits.min_free,
        // The first pipeline shows what was there before; each shows what it lost itself.
        losses: Losses::new(ledger.take().unwrap_or_default()),
        quarantine: Arc::clone(&quarantine),
        spool: spool.clone(),
        grace: config.grace,
        started,
    });
    run_all(engines.collect())?;
    runtime.shutdown_background();
    Ok(())
}

/// Opens the spool: what is in it is sent first, also when no more may go into it.
fn spool(
    config: &Config,
    cores: &mut [Pipeline],
    pipelines: &[mpsc::Sender<Message>],
) -> Result<Option<mpsc::Sender<spool::Asking>>> {
    let (dir, floor) = (&config.state.dir, config.limits.min_free);
    let mut spool = Spool::open(dir, config.spool_bytes_max, floor)
        .with_context(|| format!("the spool in {} cannot be opened", dir.display()))?;
    let found = spool.found();
    if config.spool_bytes_max == 0 && found.is_empty() {
        return Ok(None);
    }
    if !found.is_empty() {
        tracing::info!(batches = found.len(), "sending what is in the spool");
    }
    let usage = spool.usage();
    for (shard, core) in Shard::all(cores.len()).zip(cores) {
        // Their lines go before newer ones of the same container.
        let of = |batch: &Spooled| batch.containers.first().copied();
        let holds = |batch: &&Spooled| of(batch).map_or(shard.index == 0, |id| shard.holds(id));
        let own: Vec<Spooled> = found.iter().filter(holds).cloned().collect();
        spool.assign(shard.index, &own);
        core.cover(&found);
        core.adopt(&own);
    }
    let pipelines = pipelines.to_vec();
    let tell = move |pipeline: usize, answer, usage| {
        // One that has ended does not want to know.
        let _ = pipelines[pipeline].send(Message::Spool(answer, usage));
    };
    tell(0, spool::Answer::Forgotten, usage);
    Ok(Some(spool::start(spool, tell)?))
}

/// Runs the last one in this thread and the others in threads of their own, until all have ended.
fn run_all(mut engines: Vec<Engine>) -> Result<()> {
    let last = engines.pop();
    let start = |engine: Engine| {
        let name = format!("pipeline-{}", engine.shard.index);
        std::thread::Builder::new()
            .name(name)
            .spawn(|| engine.run())
    };
    let threads: Vec<_> = engines.into_iter().map(start).collect::<Result<_, _>>()?;
    if let Some(last) = last {
        last.run();
    }
    for thread in threads {
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("a pipeline failed, see above"))?;
    }
    Ok(())
}

/// The thread that saves losses and checkpoints, and the way to it.
fn spawn_store(
    (store, file): (Store, LedgerFile),
    parts: Parts,
    pipelines: Vec<mpsc::Sender<Message>>,
) -> Result<mpsc::Sender<Save>> {
    let (saves, to_save) = mpsc::channel::<Save>();
    std::thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || {
            saving::run(&store, &file, parts, &to_save, |pipeline, id, saved| {
                // One that has ended does not want to know.
                let _ = pipelines[pipeline].send(Message::Saved(id, saved));
            });
        })?;
    Ok(saves)
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

/// The pipelines, and the checkpoints that they go on from.
fn pipelines(config: &Config, store: &Store) -> Result<(Vec<Pipeline>, Parts)> {
    let count = config.limits.pipelines;
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let seed = store::random().map_err(|_| anyhow::anyhow!("no random numbers to be had"))?;
    let settings = settings(config, wall, seed)?;
    for found in store.load()? {
        let resume = |part: &Vec<u8>| Pipeline::resume(settings.clone(), part);
        let resumed = shard::split(&found.bytes, count).and_then(|parts| {
            let cores: Result<Vec<_>, _> = parts.iter().map(resume).collect();
            Ok((cores?, Parts::new(parts)))
        });
        match resumed {
            Ok(resumed) => {
                if found.is_previous {
                    tracing::warn!("going on from the previous checkpoint: some lines repeat");
                }
                return Ok(resumed);
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
    let cores = (0..count).map(|_| Pipeline::new(settings.clone(), seed, wall));
    Ok((cores.collect(), Parts::new(vec![Vec::new(); count])))
}

/// Settings of each pipeline: what bounds all of them is shared out.
fn settings(config: &Config, wall: Duration, seed: u64) -> Result<Settings> {
    let source = &config.source;
    let count = config.limits.pipelines;
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
        in_flight_max: config.send.in_flight_max.div_ceil(count),
        memory_bytes_max: memory::plan(config)
            .map_err(|error| anyhow::anyhow!("memory.budget {error}"))?,
        start_cutoff,
        retention: config.logging.retention,
        poll_interval: source.poll_interval,
        poll_interval_max: source.poll_interval_max,
        join_age_max: source.join_age_max,
        save_interval: config.state.save_interval,
        spool: config.spool_bytes_max > 0,
        bytes_per_second_max: config.send.bytes_per_second_max.div_ceil(count as u64),
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

/// What is said to the service besides lines: at the start, and by the heart.
fn spawn_own_words(
    config: &Config,
    runtime: &Runtime,
    client: &LogClient,
    board: &Board,
    pipelines: &[mpsc::Sender<Message>],
) {
    // Only a line's age is measured by the service's clock.
    let curious = match config.logging.retention.is_zero() {
        true => Vec::new(),
        false => pipelines.to_vec(),
    };
    runtime.spawn(greeting::run(client.clone(), board.clone(), curious));
    if let Some(every) = config.heartbeat {
        let beating = heartbeat::run(config.clone(), every, client.clone(), board.clone());
        runtime.spawn(beating);
    }
}

fn spawn_signals(runtime: &Runtime, pipelines: Vec<mpsc::Sender<Message>>) -> Result<()> {
    let _context = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    runtime.spawn(async move {
        for asked in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            let told = |pipeline: &mpsc::Sender<Message>| pipeline.send(Message::Drain).is_ok();
            if asked > 0 || pipelines.iter().filter(|it| told(it)).count() == 0 {
                std::process::exit(INTERRUPTED);
            }
        }
    });
    Ok(())
}
