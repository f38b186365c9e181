//! `backup list` and `backup show`.

use bytesize::ByteSize;
use serde::Serialize;

use crate::backup::config::Config;
use crate::backup::listing::{Listing, Set};
use crate::command::backup::Place;
use crate::command::backup::setting::open_store;
use crate::exit::Exit;
use crate::session::Session;

#[derive(Serialize)]
struct Row<'a> {
    set: &'a str,
    created: jiff::Timestamp,
    host: &'a str,
    bytes: u64,
    databases: Vec<&'a str>,
    proven: bool,
    drilled: Option<jiff::Timestamp>,
    drilled_with_escrow: Option<jiff::Timestamp>,
}

#[derive(Serialize)]
struct List<'a> {
    store: String,
    sets: Vec<Row<'a>>,
    broken: &'a [(String, String)],
    unfinished: &'a [String],
    foreign: usize,
    foreign_bytes: u64,
}

/// Lists a store.
///
/// # Errors
/// When it cannot be read.
pub async fn list(session: &Session, place: &Place) -> anyhow::Result<Exit> {
    let config = Config::load(&session.root)?;
    let store = open_store(session, &config, place.from.as_deref()).await?;
    let listing = Listing::read(&store).await?;
    let list = List {
        store: store.display(),
        sets: listing.sets.iter().map(row).collect(),
        broken: &listing.broken,
        unfinished: &listing.unfinished,
        foreign: listing.foreign.len(),
        foreign_bytes: listing.foreign.iter().map(|found| found.bytes).sum(),
    };
    session.output.result("backups", &list, || text(&list));
    Ok(match listing.broken.is_empty() {
        true => Exit::OK,
        false => Exit::WARNINGS,
    })
}

fn row(set: &Set) -> Row<'_> {
    let last = |identity: Option<&str>| {
        let right = |proof: &&crate::backup::listing::Proof| {
            proof.faults.is_empty() && identity.is_none_or(|name| proof.identity == name)
        };
        set.proofs.iter().filter(right).map(|proof| proof.at).max()
    };
    Row {
        set: set.id(),
        created: set.manifest.created,
        host: &set.manifest.host,
        bytes: set.manifest.bytes(),
        databases: set
            .manifest
            .databases
            .iter()
            .map(|database| database.name.as_str())
            .collect(),
        proven: set.is_proven(),
        drilled: last(None),
        drilled_with_escrow: last(Some("escrow")),
    }
}

fn text(list: &List<'_>) -> String {
    let mut text = format!("{}\n", list.store);
    for row in &list.sets {
        let local = row.created.to_zoned_datetime(jiff::tz::TimeZone::system());
        text += &format!(
            "  {}  {}  {:>10}  {}  {}\n",
            row.set,
            local.strftime("%Y-%m-%d %H:%M %Z"),
            ByteSize(row.bytes).to_string(),
            if row.proven {
                "proven    "
            } else {
                "NOT PROVEN"
            },
            row.databases.join(", ")
        );
    }
    for (set, why) in list.broken {
        text += &format!("  {set}  DAMAGED: {why}\n");
    }
    for set in list.unfinished {
        text += &format!("  {set}  unfinished: under way, or given up\n");
    }
    if list.sets.is_empty() {
        text += "  no set\n";
    }
    if list.foreign > 0 {
        let bytes = ByteSize(list.foreign_bytes);
        text += &format!("  {} other objects, {bytes}, not ours\n", list.foreign);
    }
    text
}

/// Arguments of `backup show`.
#[derive(Debug, clap::Args)]
pub struct ShowArguments {
    /// The set, or `latest`
    #[arg(default_value = "latest")]
    set: String,
    #[command(flatten)]
    place: Place,
}

/// Shows a set's manifest and drills.
///
/// # Errors
/// When there is none of this id.
pub async fn show(session: &Session, arguments: &ShowArguments) -> anyhow::Result<Exit> {
    let config = Config::load(&session.root)?;
    let store = open_store(session, &config, arguments.place.from.as_deref()).await?;
    let listing = Listing::read(&store).await?;
    let set = listing.choose(&arguments.set)?;
    #[derive(Serialize)]
    struct Shown<'a> {
        manifest: &'a crate::backup::manifest::Manifest,
        proofs: &'a [crate::backup::listing::Proof],
    }
    let shown = Shown {
        manifest: &set.manifest,
        proofs: &set.proofs,
    };
    session.output.result("set", &shown, || describe(set));
    Ok(Exit::OK)
}

fn describe(set: &Set) -> String {
    let manifest = &set.manifest;
    let cluster = &manifest.cluster;
    let mut text = format!(
        "set {} made by {} on {}\n  PostgreSQL {}, cluster {}\n",
        set.id(),
        manifest.program,
        manifest.host,
        cluster.version,
        cluster.system_identifier
    );
    for database in &manifest.databases {
        let rows: u64 = database.tables.iter().map(|table| table.rows).sum();
        text += &format!(
            "  database {}: {rows} rows in {} tables, at {}\n",
            database.name,
            database.tables.len(),
            database.lsn
        );
    }
    for name in &manifest.databases_excluded {
        text += &format!("  database {name}: left out\n");
    }
    if let Some(redis) = &manifest.redis {
        text += &format!("  Redis {}: {} keys\n", redis.version, redis.keys[1]);
    }
    for folder in &manifest.folders {
        text += &format!("  folder {}: {} files\n", folder.path, folder.files);
    }
    match &manifest.encryption {
        Some(encryption) => {
            text += &format!("  opened by {}\n", encryption.recipients.join(", "));
        }
        None => text += "  NOT ENCRYPTED\n",
    }
    for warning in &manifest.warnings {
        text += &format!("  warning: {warning}\n");
    }
    for proof in &set.proofs {
        text += &format!(
            "  drill of {} with the {} key: {}\n",
            proof.at,
            proof.identity,
            if proof.faults.is_empty() {
                "right".to_owned()
            } else {
                proof.faults.join("; ")
            }
        );
    }
    text
}
