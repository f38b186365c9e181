//! The spool: its folder, what is in it, and whether the disk has the room for the rest.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytesize::ByteSize;

use super::finding::{Finding, Report, Verdict};
use super::{right, state};
use crate::config::Config;
use crate::spool::{self, segment};

const CHECK: &str = "spool";

/// Batches in it.
#[derive(Default)]
struct Content {
    batches: usize,
    bytes: u64,
    damaged: Vec<String>,
    /// Others may read them.
    open: Option<PathBuf>,
}

/// Looks at the spool; what the first start will make is not there yet.
pub fn check(config: &Config, report: &mut Report) {
    let folder = spool::folder(&config.state.dir);
    let content = match folder_and_content(&folder, report) {
        Ok(content) => content,
        Err(finding) => return report.add(*finding),
    };
    if !content.damaged.is_empty() {
        report.add(
            Finding::new(
                Verdict::Warning,
                CHECK,
                folder.display().to_string(),
                "batches are damaged: their lines are lost, and will be in the ledger",
            )
            .seen(content.damaged.join("; "))
            .then("look at the disk (dmesg); the agent keeps the damaged files for you"),
        );
    }
    report.add(room(config, &folder, &content));
}

fn folder_and_content(folder: &Path, report: &mut Report) -> Result<Content, Box<Finding>> {
    let shown = || folder.display().to_string();
    let about = match fs::metadata(folder) {
        Ok(about) => about,
        // Whether it can be made is what the state folder's finding says.
        Err(error) if missing(&error) => return Ok(Content::default()),
        Err(error) => return Err(Box::new(right::denied(CHECK, shown(), folder, &error))),
    };
    if !about.is_dir() {
        let finding = Finding::new(Verdict::Error, CHECK, shown(), "is not a folder");
        return Err(Box::new(
            finding.then("move it away: the agent makes a folder there"),
        ));
    }
    if let Err(error) = state::try_write(folder) {
        let finding = right::denied(CHECK, shown(), folder, &error);
        return Err(Box::new(
            finding.then("make it writable for us: chmod 700, chown"),
        ));
    }
    let content = look_into(folder)
        .map_err(|error| Box::new(right::denied(CHECK, shown(), folder, &error)))?;
    let readable = is_open(&about).then(|| folder.to_owned());
    if let Some(path) = readable.or_else(|| content.open.clone()) {
        let mode = fs::metadata(&path).map_or(0, |about| about.permissions().mode());
        report.add(
            Finding::new(
                Verdict::Warning,
                CHECK,
                path.display().to_string(),
                "others may read it: it holds lines of logs",
            )
            .seen(format!("mode {:04o}", mode & 0o7777))
            .then("chmod -R go= on the folder"),
        );
    }
    Ok(content)
}

fn missing(error: &io::Error) -> bool {
    // Below a state folder that is no folder there is nothing either.
    let kinds = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    kinds.contains(&error.kind())
}

/// Group or others have a right on it.
fn is_open(about: &Metadata) -> bool {
    about.permissions().mode() & 0o077 != 0
}

fn look_into(folder: &Path) -> io::Result<Content> {
    let mut content = Content::default();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !spool::is_segment(&path) {
            continue;
        }
        let file = match fs::metadata(&path).and_then(|about| Ok((about, fs::read(&path)?))) {
            // A running agent has sent it.
            Err(error) if missing(&error) => continue,
            file => file,
        };
        content.batches += 1;
        let wrong = match file {
            Ok((about, bytes)) => {
                content.bytes += about.size();
                if is_open(&about) {
                    content.open.get_or_insert_with(|| path.clone());
                }
                segment::decode(&bytes).err().map(|error| error.to_string())
            }
            Err(error) => Some(error.to_string()),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        content
            .damaged
            .extend(wrong.map(|wrong| format!("{name}: {wrong}")));
    }
    Ok(content)
}

/// Whether what an outage brings fits.
fn room(config: &Config, folder: &Path, content: &Content) -> Finding {
    let shown = folder.display().to_string();
    let max = config.spool_bytes_max;
    let holds = format!(
        "{} batches of {} wait in it",
        content.batches,
        ByteSize(content.bytes)
    );
    if max == 0 {
        let what = "is off: what rotation deletes while OCI cannot be reached is lost";
        let next = "set spool.max_bytes to have it kept";
        return Finding::new(Verdict::Note, CHECK, shown, what)
            .seen(holds)
            .then(next);
    }
    let there = folder.ancestors().find(|path| path.exists());
    let room = there.ok_or_else(|| io::ErrorKind::NotFound.into());
    let room = match room.and_then(|there| config.limits.min_free.room(there)) {
        Ok(room) => room,
        Err(error) => {
            let finding = Finding::new(Verdict::Warning, CHECK, shown, "its disk cannot be asked");
            return finding.seen(error.to_string());
        }
    };
    let seen = format!(
        "{holds}; spool.max_bytes is {}, its disk has {} above limits.min_free ({})",
        ByteSize(max),
        ByteSize(room),
        config.limits.min_free
    );
    let what = match room {
        room if room >= max.saturating_sub(content.bytes) => {
            return Finding::new(Verdict::Ok, CHECK, shown, "has the room it may take").seen(seen);
        }
        0 => "would take nothing: its disk is below limits.min_free",
        _ => "would end early: its disk has less room than spool.max_bytes",
    };
    Finding::new(Verdict::Warning, CHECK, shown, what)
        .seen(seen)
        .then("make room on that disk, or lower spool.max_bytes or limits.min_free")
}
