//! A look on one screen.

use bytesize::ByteSize;
use jiff::Timestamp;

use super::Status;
use crate::backup::schedule::local;
use crate::doctor::BackupFacts;
use crate::output::{Output, Tone};

/// The screen.
pub fn screen(output: Output, status: &Status) -> String {
    let mut text = services(status);
    let mut line = |tone: Option<Tone>, label: &str, content: String| {
        let content = tone.map_or_else(|| content.clone(), |tone| output.paint(tone, &content));
        text += &format!("{label:<9} {content}\n");
    };
    if let Some((tone, content)) = host_memory(status.memory_bytes) {
        line(tone, "memory", content);
    }
    for (name, room) in &status.disks {
        let low = room.bytes_free < status.disk_floor_bytes;
        let content = format!(
            "{name}: {} of {} free (floor {})",
            ByteSize(room.bytes_free),
            ByteSize(room.bytes),
            ByteSize(status.disk_floor_bytes)
        );
        line(low.then_some(Tone::Bad), "disk", content);
    }
    for (name, bytes) in &status.kept {
        let size = ByteSize(*bytes);
        let content = format!("{name}, {size}; to free it: platform-ops db drop {name}");
        line(None, "kept", content);
    }
    let backup = &status.backup;
    let tone = match (backup.alarms.is_empty(), backup.last) {
        (false, _) => Tone::Bad,
        (true, None) => Tone::Warn,
        (true, Some(_)) => Tone::Good,
    };
    line(Some(tone), "backups", backups(backup));
    for alarm in &backup.alarms {
        line(Some(Tone::Bad), "", alarm.text.clone());
    }
    let tone = if status.faults > 0 {
        Tone::Bad
    } else if status.warnings > 0 {
        Tone::Warn
    } else {
        Tone::Good
    };
    line(
        Some(tone),
        "doctor",
        format!("{} faults, {} warnings", status.faults, status.warnings),
    );
    for worst in &status.worst {
        line(Some(Tone::Bad), "", worst.clone());
    }
    for gap in &status.gaps {
        line(Some(Tone::Dim), "unseen", gap.clone());
    }
    for change in &status.changes {
        line(None, "changed", change.clone());
    }
    text
}

fn services(status: &Status) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["SERVICE", "STATE", "VERSION", "SINCE", "MEMORY", "LOAD"]);
    for service in &status.services {
        let word = service
            .health
            .as_deref()
            .filter(|_| service.state == "running")
            .unwrap_or(&service.state);
        let adopted = if service.adopted { " (adopted)" } else { "" };
        let since = since(status.at, &service.started_at, &service.state);
        let version = service.version.clone().unwrap_or_else(|| "-".to_owned());
        table.add_row([
            format!("{}{adopted}", service.service),
            word.to_owned(),
            version,
            since,
            memory(service.memory_bytes),
            service.load.clone(),
        ]);
    }
    format!("{table}\n")
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

fn host_memory((bytes, available): (u64, u64)) -> Option<(Option<Tone>, String)> {
    let tone = (available < bytes / 20).then_some(Tone::Bad);
    let content = format!("{} of {} available", ByteSize(available), ByteSize(bytes));
    (bytes > 0).then_some((tone, content))
}

fn memory(bytes: Option<(u64, u64)>) -> String {
    match bytes {
        Some((used, 0)) => format!("{}, no limit", ByteSize(used)),
        Some((used, limit)) => format!("{} of {}", ByteSize(used), ByteSize(limit)),
        None => "-".to_owned(),
    }
}

/// How old the last set is, whether one was restored, and what a disaster costs.
fn backups(backup: &BackupFacts) -> String {
    let at = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), local);
    let by = match &backup.started_by[..] {
        [] => "nothing".to_owned(),
        by => by.join(" and "),
    };
    format!(
        "last set {}, last drill {}, started by {by}; a disaster costs what was written since the last set: one interval at most, while they succeed",
        at(backup.last),
        at(backup.proven)
    )
}

fn since(now: Timestamp, started_at: &str, state: &str) -> String {
    let Ok(started) = started_at.parse::<Timestamp>() else {
        return "-".to_owned();
    };
    if state != "running" {
        return "-".to_owned();
    }
    let seconds = u64::try_from(now.as_second() - started.as_second()).unwrap_or(0);
    let rounded = if seconds > 3600 {
        seconds - seconds % 60
    } else {
        seconds
    };
    humantime::format_duration(std::time::Duration::from_secs(rounded)).to_string()
}
