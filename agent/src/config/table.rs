//! The tables of the configuration: which keys there are and what they may be.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use agent_core::limits;
use oci::{AuthKind, ContentEncoding, LogId};

use super::layer::{Layers, Origin, Problem};
use super::resolve::Resolver;
use super::{
    Admin, Batch, Config, Limits, Log, LogFormat, Logging, NameFilter, Oci, Send, Source, State,
};
use crate::memory;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// All settings, or all problems.
pub fn resolve(layers: Layers) -> Result<Config, Vec<Problem>> {
    let mut resolver = Resolver::new(layers);
    let config = config(&mut resolver);
    let problems = resolver.finish();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
}

/// `None` when a value is missing: then a problem has been noted, which is why every table is
/// read before the first `?`.
pub(super) fn config(resolver: &mut Resolver) -> Option<Config> {
    let source = source(resolver);
    let state = state(resolver);
    let oci = oci(resolver);
    let logging = logging(resolver);
    let batch = batch(resolver);
    let send = send(resolver);
    let memory = resolver.size("memory.budget", 1, 1 << 40);
    let limits = limits(resolver);
    let spool = resolver.size("spool.max_bytes", 0, 1 << 40);
    let quarantine = resolver.size("quarantine.max_bytes", 0, 1 << 40);
    let admin = admin(resolver, state.as_ref().map(|state| state.dir.as_path()));
    let heartbeat = resolver.duration("heartbeat.every", SECOND / 10, DAY);
    let grace = resolver.duration("shutdown.grace", Duration::ZERO, DAY);
    let log = log(resolver);
    let config = Config {
        source: source?,
        state: state?,
        oci: oci?,
        logging: logging?,
        batch: batch?,
        send: send?,
        memory_budget_bytes: memory?,
        limits: limits?,
        spool_bytes_max: spool?,
        quarantine_bytes_max: quarantine?,
        admin,
        heartbeat,
        grace: grace?,
        log: log?,
    };
    if let Err(text) = memory::plan(&config) {
        resolver.complain("memory.budget", Origin::Default, text);
    }
    Some(config)
}

fn source(resolver: &mut Resolver) -> Option<Source> {
    let containers_dir = resolver.path("source.containers_dir");
    let include = globs(resolver, "source.include");
    let exclude = globs(resolver, "source.exclude");
    let include_self = resolver.flag("source.include_self");
    let start_at = resolver.parsed("source.start_at", FromStr::from_str);
    let host = resolver.text("source.host").filter(|name| !name.is_empty());
    let host_file = resolver.path("source.host_file");
    let type_prefix = resolver.text("source.type_prefix");
    let nanoseconds = resolver.flag("source.nanoseconds");
    let part_marks = resolver.flag("source.part_marks");
    let gap_markers = resolver.flag("source.gap_markers");
    let join_age_max = resolver.duration("source.join_max_age", Duration::ZERO, DAY);
    let shortest = Duration::from_millis(10);
    let poll_interval = resolver.duration("source.poll_interval", shortest, DAY);
    let poll_interval_max = resolver.duration("source.poll_interval_max", shortest, DAY);
    let scan_interval = resolver.duration("source.scan_interval", shortest, DAY);
    let watch = resolver.flag("source.watch");
    let open_files_max = resolver.number("source.max_open_files", 8, 1 << 20);
    let held_bytes_max = resolver.size("source.max_held_bytes", 0, 1 << 50);
    Some(Source {
        containers_dir: containers_dir?,
        filter: NameFilter {
            include: include?,
            exclude: exclude?,
        },
        include_self: include_self?,
        start_at: start_at?,
        host,
        host_file,
        type_prefix: type_prefix?,
        nanoseconds: nanoseconds?,
        part_marks: part_marks?,
        gap_markers: gap_markers?,
        join_age_max: join_age_max?,
        poll_interval: poll_interval?,
        poll_interval_max: poll_interval_max?.max(poll_interval?),
        scan_interval: scan_interval?,
        watch: watch?,
        open_files_max: open_files_max?,
        held_bytes_max: held_bytes_max?,
    })
}

fn globs(resolver: &mut Resolver, path: &str) -> Option<Vec<String>> {
    let (patterns, origin) = resolver.list(path)?;
    let mut sound = true;
    for pattern in &patterns {
        if let Some(problem) = glob_problem(pattern) {
            resolver.complain(path, origin.clone(), format!("glob `{pattern}`: {problem}"));
            sound = false;
        }
    }
    sound.then_some(patterns)
}

fn glob_problem(pattern: &str) -> Option<String> {
    if pattern.starts_with('!') {
        return Some("what is not to match is for `source.exclude`".to_owned());
    }
    fast_glob::validate(pattern).err().map(|it| it.to_string())
}

fn state(resolver: &mut Resolver) -> Option<State> {
    let dir = resolver.path("state.dir");
    let save_interval = resolver.duration("state.save_interval", Duration::ZERO, DAY);
    Some(State {
        dir: dir?,
        save_interval: save_interval?,
    })
}

fn oci(resolver: &mut Resolver) -> Option<Oci> {
    let auth = resolver.parsed("oci.auth", |text| {
        AuthKind::from_str(text).map_err(|error| error.to_string())
    });
    // Left at its default, the choice is the environment's, as with Oracle's own tools.
    let config_file = resolver
        .path("oci.config_file")
        .filter(|path| *path != Path::new("~/.oci/config"));
    let profile = resolver
        .text("oci.profile")
        .filter(|profile| profile != "DEFAULT");
    let region = resolver
        .text("oci.region")
        .filter(|region| !region.is_empty());
    let ca_bundle = resolver.path("oci.ca_bundle");
    Some(Oci {
        auth: auth?,
        config_file,
        profile,
        region,
        ca_bundle,
    })
}

fn logging(resolver: &mut Resolver) -> Option<Logging> {
    let log_id = resolver.required("logging.log_id", |text| {
        LogId::from_str(text).map_err(|error| error.message().to_owned())
    });
    let endpoint = resolver.parsed("logging.endpoint", endpoint_text);
    let search_endpoint = resolver.parsed("logging.search_endpoint", endpoint_text);
    let search_scope = resolver.parsed("logging.search_scope", |text| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        match !text.is_empty() && text.bytes().all(plain) {
            true => Ok(text.to_owned()),
            false => Err(format!(
                "`{text}` is not \"<compartment OCID>/<log group OCID>\""
            )),
        }
    });
    let retention = resolver.duration("logging.retention", Duration::ZERO, DAY * 3650);
    let encoding = resolver.parsed("logging.compression", |text| match text {
        "none" => Ok(ContentEncoding::Identity),
        "gzip" => Ok(ContentEncoding::Gzip),
        _ => Err(format!("`{text}` is neither \"none\" nor \"gzip\"")),
    });
    Some(Logging {
        log_id: log_id?,
        endpoint,
        search_endpoint,
        search_scope,
        retention: retention?,
        encoding: encoding?,
    })
}

fn endpoint_text(text: &str) -> Result<String, String> {
    match oci::Endpoint::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.message().to_owned()),
    }
}

fn batch(resolver: &mut Resolver) -> Option<Batch> {
    let least = limits::BATCH_BYTES_MIN as u64;
    let bytes_max = resolver.size("batch.max_bytes", least, limits::BATCH_BYTES_LIMIT as u64);
    let age_max = resolver.duration("batch.max_age", Duration::ZERO, DAY);
    Some(Batch {
        bytes_max: bytes_max?,
        age_max: age_max?,
    })
}

fn send(resolver: &mut Resolver) -> Option<Send> {
    let in_flight_max = resolver.number("send.max_in_flight", 1, 64);
    let bytes_per_second_max = resolver.size("send.max_bytes_per_second", 0, 1 << 40);
    let connect_timeout = resolver.duration("send.connect_timeout", SECOND / 10, DAY);
    let timeout = resolver.duration("send.timeout", SECOND / 10, DAY);
    Some(Send {
        in_flight_max: in_flight_max?,
        bytes_per_second_max: bytes_per_second_max.unwrap_or(0),
        connect_timeout: connect_timeout?,
        timeout: timeout?,
    })
}

fn limits(resolver: &mut Resolver) -> Option<Limits> {
    let min_free = resolver.parsed("limits.min_free", FromStr::from_str);
    let nice = resolver.number("limits.nice", 0, 19);
    let pipelines = resolver.number("limits.pipelines", 1, 64);
    Some(Limits {
        min_free: min_free?,
        nice: i32::try_from(nice?).ok()?,
        pipelines: pipelines?,
    })
}

fn admin(resolver: &mut Resolver, state_dir: Option<&Path>) -> Admin {
    let socket = resolver.path("admin.socket");
    let listen = resolver.parsed("admin.listen", |text| {
        text.parse()
            .map_err(|_| format!("`{text}` is no address; write \"127.0.0.1:9598\""))
    });
    // An absolute path replaces the folder in the join.
    let socket = socket.map(|path| state_dir.map_or(PathBuf::new(), Path::to_owned).join(path));
    Admin { socket, listen }
}

fn log(resolver: &mut Resolver) -> Option<Log> {
    let format = resolver.parsed("log.format", |text| match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("`{text}` is neither \"text\" nor \"json\"")),
    });
    let level = resolver.parsed("log.level", |text| {
        text.parse()
            .map_err(|_| format!("`{text}` is none of error, warn, info, debug, trace"))
    });
    Some(Log {
        format: format?,
        level: level?,
    })
}
