//! A stable look at one container's folder.
//!
//! Docker's rotation renames `.N` to `.N+1` one after the other, so a single pass over the folder
//! can meet a file twice or not at all. A look counts when two passes in a row agree.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Passes at most: a folder that never stands still is told as it was last seen, with a warning to
/// the core, and the next look corrects it.
const PASSES_MAX: u32 = 8;

/// One log file as it stands in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Name in the folder.
    pub name: String,
    /// 0 for the current file, n for `.n` or `.n.gz`.
    pub position: u32,
    /// The name ends in `.gz`.
    pub compressed: bool,
    /// st_dev.
    pub device: u64,
    /// st_ino.
    pub inode: u64,
    /// st_size.
    pub size: u64,
    /// st_mtime, since 1970-01-01.
    pub modified: Duration,
    /// When the inode was made, since 1970-01-01; zero where the file system does not tell.
    pub born: Duration,
}

/// What a look at a folder saw.
#[derive(Debug)]
pub struct Look {
    /// Its log files.
    pub files: Vec<Seen>,
    /// Two passes in a row saw the same names. Else one may be missing, and another may be there
    /// under two names.
    pub stable: bool,
}

impl Seen {
    fn identity(&self) -> (&str, u64, u64) {
        (&self.name, self.device, self.inode)
    }
}

/// Looks at `folder` until it stands still. `log_name` is the current file's name; files of
/// another name are none of the log's.
///
/// A `.n.gz` whose plain `.n` is there too is left out: the plain one is whole, the other may be
/// in the making (moby `loggerutils/logfile.go`, `compressFile`).
///
/// # Errors
/// When the folder cannot be read; `NotFound` when it is gone.
pub fn look(folder: &Path, log_name: &str) -> io::Result<Look> {
    let mut last = pass(folder, log_name)?;
    let mut stable = false;
    for _ in 1..PASSES_MAX {
        let next = pass(folder, log_name)?;
        let same = last
            .iter()
            .map(Seen::identity)
            .eq(next.iter().map(Seen::identity));
        last = next;
        if same {
            stable = true;
            break;
        }
    }
    Ok(Look {
        files: without_twins(last),
        stable,
    })
}

/// One pass, sorted by position.
fn pass(folder: &Path, log_name: &str) -> io::Result<Vec<Seen>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Some((position, compressed)) = place(&entry.file_name(), log_name) else {
            continue;
        };
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // Renamed or removed since: the next pass will tell.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if !metadata.is_file() {
            continue;
        }
        files.push(Seen {
            name: entry.file_name().to_string_lossy().into_owned(),
            position,
            compressed,
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: since_epoch(metadata.mtime(), metadata.mtime_nsec()),
            born: born(&metadata),
        });
    }
    files.sort_by_key(|file| (file.position, file.compressed));
    Ok(files)
}

fn born(metadata: &std::fs::Metadata) -> Duration {
    let created = metadata.created().ok();
    created
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .unwrap_or_default()
}

/// (position, compressed) of a name, if it is one of the log's.
fn place(name: &OsStr, log_name: &str) -> Option<(u32, bool)> {
    let rest = name.to_str()?.strip_prefix(log_name)?;
    if rest.is_empty() {
        return Some((0, false));
    }
    let rest = rest.strip_prefix('.')?;
    let (digits, compressed) = match rest.strip_suffix(".gz") {
        Some(digits) => (digits, true),
        None => (rest, false),
    };
    let canonical = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    let position = digits.parse().ok().filter(|_| canonical)?;
    Some((position, compressed))
}

fn without_twins(files: Vec<Seen>) -> Vec<Seen> {
    let plain: Vec<u32> = files
        .iter()
        .filter(|file| !file.compressed)
        .map(|file| file.position)
        .collect();
    files
        .into_iter()
        .filter(|file| !file.compressed || !plain.contains(&file.position))
        .collect()
}

/// A time of stat(2) as a duration; before 1970 counts as 1970.
pub fn since_epoch(seconds: i64, nanoseconds: i64) -> Duration {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Duration::new(seconds, u32::try_from(nanoseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(folder: &Path) -> Vec<(String, u32, bool)> {
        look(folder, "c-json.log")
            .unwrap()
            .files
            .into_iter()
            .map(|file| (file.name, file.position, file.compressed))
            .collect()
    }

    #[test]
    fn only_files_of_the_log_are_seen_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let touch = |name: &str| std::fs::write(folder.path().join(name), b"x").unwrap();
        for name in [
            "c-json.log",
            "c-json.log.10.gz",
            "c-json.log.2.gz",
            "c-json.log.1",
            "c-json.log.x",
            "c-json.log.01",
            "c-json.log.",
            "c-json.log.gz",
            "config.v2.json",
            "d-json.log",
            "c-json.log.99999999999",
        ] {
            touch(name);
        }
        std::fs::create_dir(folder.path().join("c-json.log.3")).unwrap();
        let expected = [
            ("c-json.log".to_owned(), 0, false),
            ("c-json.log.1".to_owned(), 1, false),
            ("c-json.log.2.gz".to_owned(), 2, true),
            ("c-json.log.10.gz".to_owned(), 10, true),
        ];
        assert_eq!(names(folder.path()), expected);
    }

    #[test]
    fn a_compressed_file_in_the_making_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("c-json.log.1"), b"whole").unwrap();
        std::fs::write(folder.path().join("c-json.log.1.gz"), b"half").unwrap();
        assert_eq!(
            names(folder.path()),
            [("c-json.log.1".to_owned(), 1, false)]
        );
        std::fs::remove_file(folder.path().join("c-json.log.1")).unwrap();
        assert_eq!(
            names(folder.path()),
            [("c-json.log.1.gz".to_owned(), 1, true)]
        );
    }

    #[test]
    fn a_missing_folder_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        let error = look(&folder.path().join("gone"), "c-json.log").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
