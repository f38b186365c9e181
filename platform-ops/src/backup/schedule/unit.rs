//! The files that start a scheduled backup: two units of systemd, or one file of cron.

use std::collections::BTreeSet;
use std::path::Path;

use crate::backup::schedule::Schedule;
use crate::host_file::{HostFile, PROGRAM};
use crate::root::Root;

/// The timer's name.
pub const TIMER: &str = "platform-ops-backup.timer";
/// Where `systemctl enable` puts its link.
pub const WANTED: &str = "/etc/systemd/system/timers.target.wants/platform-ops-backup.timer";

const SERVICE_FILE: &str = "/etc/systemd/system/platform-ops-backup.service";
const TIMER_FILE: &str = "/etc/systemd/system/platform-ops-backup.timer";
const CRON_FILE: &str = "/etc/cron.d/platform-ops-backup";
const SERVICE: &str = include_str!("../../../../deploy/host/platform-ops-backup.service");
const TIMER_TEXT: &str = include_str!("../../../../deploy/host/platform-ops-backup.timer");
const CALENDAR: &str = "OnCalendar=";

/// Every file that may be there for a schedule. Their masters are written by `install` alone.
pub const FILES: [HostFile; 3] = [
    HostFile {
        path: SERVICE_FILE,
        content: None,
    },
    HostFile {
        path: TIMER_FILE,
        content: None,
    },
    HostFile {
        path: CRON_FILE,
        content: None,
    },
];

/// What starts a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starter {
    /// A timer.
    Systemd,
    /// A file in /etc/cron.d.
    Cron,
}

impl Starter {
    /// What each of [`FILES`] has to hold; `None` where it must not be there.
    pub fn wanted(self, schedule: &Schedule, root: &Root) -> [Option<String>; 3] {
        match self {
            Self::Systemd => [Some(with_root(SERVICE, root)), Some(timer(schedule)), None],
            Self::Cron => [None, None, Some(cron(schedule, root))],
        }
    }
}

fn command(root: &Root) -> String {
    if root.path() == Path::new("/srv") {
        return PROGRAM.to_owned();
    }
    format!("{PROGRAM} --root {}", root.path().display())
}

fn with_root(text: &str, root: &Root) -> String {
    text.replace(PROGRAM, &command(root))
}

fn timer(schedule: &Schedule) -> String {
    let ends = schedule.trading_hours.iter().map(super::Trading::end);
    let times: BTreeSet<_> = schedule.window.ticks().into_iter().chain(ends).collect();
    let lines: String = times
        .into_iter()
        .map(|time| format!("{CALENDAR}*-*-* {}\n", time.strftime("%H:%M:%S")))
        .collect();
    let mut text = String::new();
    let mut written = false;
    for line in TIMER_TEXT.split_inclusive('\n') {
        if !line.starts_with(CALENDAR) {
            text += line;
        } else if !written {
            text += &lines;
            written = true;
        }
    }
    text
}

/// cron makes up for nothing, so it asks each hour; what a run says that fails, it mails.
fn cron(schedule: &Schedule, root: &Root) -> String {
    let minute = schedule.window.begin.minute();
    format!(
        "# The master lies in {}; cron reads its copy in /etc/cron.d.\n\
         # Made and taken away by `platform-ops backup schedule`.\n\
         # Each hour: the program begins only if a backup is due by config/backup.toml.\n\
         PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         {minute} * * * * root {} backup create --scheduled --no-input --color never --lock-wait 30m >/dev/null\n",
        root.host_masters().display(),
        command(root)
    )
}
