//! `platform-agent quarantine`: looks at refused entries, sends them again, throws them away.

use std::fmt::Write as _;
use std::sync::Arc;

use agent_core::entry::entry_place;
use agent_core::ledger::{DROPPED, Ledger, Record};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use oci::ContentEncoding;
use serde_json::{Value, json};

use super::Quarantine;
use crate::config::Config;
use crate::ledger::LedgerFile;
use crate::{run, sender};

/// What to do with refused entries.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List them, oldest first: id, when, container, and what OCI said.
    List {
        /// As JSON, schema platform-agent/quarantine/1.
        #[arg(long)]
        json: bool,
    },
    /// Print one as it is kept: when, the answer, and the body as it was refused.
    Show {
        /// As `list` prints it.
        id: String,
    },
    /// Send them again, each alone; what is accepted leaves the quarantine.
    Replay(Which),
    /// Throw them away for good; the loss ledger says so.
    Drop(Which),
}

/// Which of them.
#[derive(Debug, clap::Args)]
#[group(required = true)]
pub struct Which {
    /// As `list` prints them.
    ids: Vec<String>,
    /// All there are.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
}

/// Does it; gives back what is to be printed.
///
/// # Errors
/// When something cannot be read, sent or removed; what was done before that is done.
pub fn run(config: &Config, action: &Action) -> Result<String> {
    let quarantine = Quarantine::new(&config.state.dir, config.quarantine_bytes_max);
    match action {
        Action::List { json } => list(&quarantine, *json),
        Action::Show { id } => {
            let record = quarantine.get(id).with_context(|| unknown(id))?;
            Ok(serde_json::to_string_pretty(&record)? + "\n")
        }
        Action::Replay(which) => replay(config, &quarantine, &chosen(&quarantine, which)?),
        Action::Drop(which) => {
            let ids = chosen(&quarantine, which)?;
            for id in &ids {
                drop_one(config, &quarantine, id)?;
            }
            Ok(format!("{} dropped\n", ids.len()))
        }
    }
}

/// What is thrown away is lost: the ledger has it first.
fn drop_one(config: &Config, quarantine: &Quarantine, id: &str) -> Result<()> {
    let record = quarantine.get(id).with_context(|| unknown(id))?;
    let body: Value = serde_json::from_str(record.body.get())?;
    let batch = &body["logEntryBatches"][0];
    let entry = &batch["entries"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let place = entry_place(&text(&entry["id"]));
    let (generation, from) = place.unwrap_or_else(|| (id.to_owned(), 0));
    let mut losses = Ledger::default();
    losses.add(Record {
        container: String::new(),
        name: text(&batch["subject"]),
        generation,
        from,
        to: Some(from + text(&entry["data"]).len() as u64),
        // Bytes of its text, of which the log file has more.
        bound: "at_least".to_owned(),
        reason: DROPPED.to_owned(),
        told_at: jiff::Timestamp::now().to_string(),
        last_time: String::new(),
        first_lost_time: text(&entry["time"]),
        next_time: String::new(),
    });
    LedgerFile::new(&config.state.dir)
        .add(&losses)
        .context("the loss cannot be written down")?;
    quarantine.drop(id).with_context(|| unknown(id))
}

fn unknown(id: &str) -> String {
    format!("no refused entry {id} (`platform-agent quarantine list` shows them)")
}

fn chosen(quarantine: &Quarantine, which: &Which) -> Result<Vec<String>> {
    match which.all {
        true => Ok(quarantine.ids()?),
        false => Ok(which.ids.clone()),
    }
}

fn list(quarantine: &Quarantine, as_json: bool) -> Result<String> {
    let mut entries = Vec::new();
    for id in quarantine.ids()? {
        let record = quarantine.get(&id).with_context(|| unknown(&id))?;
        let body: Value = serde_json::from_str(record.body.get())?;
        let subject = body["logEntryBatches"][0]["subject"].clone();
        entries.push(json!({
            "id": id,
            "refused_at": record.refused_at,
            "container": subject,
            "answer": record.answer,
        }));
    }
    if as_json {
        let all = json!({"schema": "platform-agent/quarantine/1", "entries": entries});
        return Ok(all.to_string() + "\n");
    }
    let mut out = String::new();
    for entry in &entries {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let (id, at, container) = (text("id"), text("refused_at"), text("container"));
        writeln!(out, "{id}  {at}  {container}  {}", text("answer"))?;
    }
    if entries.is_empty() {
        out.push_str("nothing was refused\n");
    }
    Ok(out)
}

fn replay(config: &Config, quarantine: &Quarantine, ids: &[String]) -> Result<String> {
    let runtime = run::runtime()?;
    let client = run::log_client(config, &runtime)?;
    let (mut accepted, mut refused) = (0, Vec::new());
    for id in ids {
        let record = quarantine.get(id).with_context(|| unknown(id))?;
        let body = Arc::new(record.body.get().as_bytes().to_vec());
        let sealed = sender::seal(&body, ContentEncoding::Identity);
        let sent = client.put_logs(
            &config.logging.log_id,
            sealed.bytes(body),
            &sealed.sha256,
            ContentEncoding::Identity,
        );
        match runtime.block_on(sent) {
            Ok(_) => {
                quarantine.drop(id).with_context(|| unknown(id))?;
                accepted += 1;
            }
            Err(error) => refused.push(format!("{id}: {error}")),
        }
    }
    if refused.is_empty() {
        return Ok(format!("{accepted} accepted\n"));
    }
    bail!(
        "{accepted} accepted, {} still refused and kept:\n{}",
        refused.len(),
        refused.join("\n")
    )
}
