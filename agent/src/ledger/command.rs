//! `platform-agent ledger`: what was lost for good.

use std::fmt::Write as _;

use agent_core::ledger::{Ledger, Record};
use anyhow::Result;
use serde_json::{Value, json};

use super::LedgerFile;
use crate::config::Config;

/// Reads the ledger; gives back what is to be printed.
///
/// # Errors
/// When it cannot be read.
pub fn run(config: &Config, as_json: bool) -> Result<String> {
    let ledger = LedgerFile::new(&config.state.dir).load()?;
    Ok(match as_json {
        true => document(&ledger).to_string() + "\n",
        false => page(&ledger)?,
    })
}

/// Schema platform-agent/ledger/1.
fn document(ledger: &Ledger) -> Value {
    json!({
        "schema": "platform-agent/ledger/1",
        "by_reason": by_reason(ledger),
        "records": ledger.records(),
        "totals": ledger.totals(),
    })
}

/// Losses and bytes by reason.
pub fn by_reason(ledger: &Ledger) -> Value {
    let counts = ledger.by_reason().into_iter().map(|(reason, count)| {
        let value = json!({ "losses": count.losses, "bytes": count.bytes });
        (reason.to_owned(), value)
    });
    Value::Object(counts.collect())
}

fn page(ledger: &Ledger) -> Result<String> {
    let mut out = String::new();
    for total in ledger.totals() {
        let (name, losses, bytes) = (&total.name, total.losses, total.bytes);
        let name = if name.is_empty() { "(others)" } else { name };
        let (reason, from, to) = (&total.reason, &total.first_at, &total.last_at);
        writeln!(
            out,
            "{from} to {to}  {name}  {losses} losses, {bytes} bytes and more: {reason}"
        )?;
    }
    for record in ledger.records() {
        writeln!(out, "{}", line(record))?;
    }
    if out.is_empty() {
        out.push_str("nothing was lost\n");
    }
    Ok(out)
}

/// One record for people.
fn line(record: &Record) -> String {
    let Record { from, told_at, .. } = record;
    let range = match record.to {
        Some(to) => format!("bytes {from}..{to}"),
        None => format!("bytes from {from} on, if there were any"),
    };
    let bound = record.bound.replace('_', " ");
    let (name, generation, reason) = (&record.name, &record.generation, &record.reason);
    let mut text = format!("{told_at}  {name}  {reason}: {range} ({bound}) of {generation}");
    for (what, time) in [
        ("last line before", &record.last_time),
        ("first line lost", &record.first_lost_time),
        ("first line after", &record.next_time),
    ] {
        if !time.is_empty() {
            text += &format!("; {what} {time}");
        }
    }
    text
}
