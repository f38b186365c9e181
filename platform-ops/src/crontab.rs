//! Lines of root's crontabs that start the manual's backup script.

use std::path::{Path, PathBuf};

/// Root's own and the system's; files of /etc/cron.d come on top.
const CRONTABS: [&str; 3] = [
    "etc/crontab",
    "var/spool/cron/root",
    "var/spool/cron/crontabs/root",
];
const CRON_D: &str = "etc/cron.d";
/// Where the manual's script is, below the root.
const SCRIPT: &str = "/apps/backup.sh";
/// What stands before a line that a schedule took out.
const TAKEN_OUT: &str = "#platform-ops-schedule# ";

/// A line of a crontab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The file.
    pub file: PathBuf,
    /// The line, trimmed.
    pub text: String,
}

fn files(host: &Path) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(host.join(CRON_D)).into_iter().flatten();
    let mut files: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let tabs = CRONTABS.into_iter().map(|path| host.join(path));
    tabs.chain(files).collect()
}

fn found(host: &Path, wanted: impl Fn(&str) -> bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for file in files(host) {
        // A binary or missing file holds no line.
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let calls = text.lines().filter(|line| wanted(line));
        lines.extend(calls.map(|line| Line {
            file: file.clone(),
            text: line.trim().to_owned(),
        }));
    }
    lines
}

/// The lines that start the script, of the host whose files are below `host`.
pub fn backup_lines(host: &Path) -> Vec<Line> {
    found(host, |line| {
        !line.trim_start().starts_with('#') && line.contains(SCRIPT)
    })
}

/// The lines that remove what Docker does not use at that moment.
pub fn prune_lines(host: &Path) -> Vec<Line> {
    found(host, |line| {
        !line.trim_start().starts_with('#') && line.contains("docker") && line.contains(" prune")
    })
}

/// The lines that [`take_out`] took out.
pub fn taken_out(host: &Path) -> Vec<Line> {
    found(host, |line| line.starts_with(TAKEN_OUT))
}

/// A crontab's text with the script's lines made comments.
pub fn take_out(text: &str) -> String {
    let is_call = |line: &str| !line.trim_start().starts_with('#') && line.contains(SCRIPT);
    text.split_inclusive('\n')
        .map(|line| match is_call(line) {
            true => format!("{TAKEN_OUT}{line}"),
            false => line.to_owned(),
        })
        .collect()
}

/// The opposite.
pub fn put_back(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| line.strip_prefix(TAKEN_OUT).unwrap_or(line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_out_comes_back_as_it_was() {
        let text = "# 0 1 * * * /srv/apps/backup.sh\nMAILTO=x\n 30 2 * * * /srv/apps/backup.sh >> /var/log/b 2>&1\n1 2 * * * other";
        let out = take_out(text);
        assert_eq!(
            out,
            "# 0 1 * * * /srv/apps/backup.sh\nMAILTO=x\n#platform-ops-schedule#  30 2 * * * /srv/apps/backup.sh >> /var/log/b 2>&1\n1 2 * * * other"
        );
        assert_eq!(put_back(&out), text);
        assert_eq!(take_out(&out), out);
    }
}
