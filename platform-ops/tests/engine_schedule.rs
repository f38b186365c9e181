//! What starts backups: units and crontabs in a file system of the test's own, checked by systemd.
//! Needs root, and no engine but for its name's sake.

#![allow(clippy::unwrap_used)]

#[path = "host/mod.rs"]
mod host;
mod sets;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use host::{Host, Run};

const SCRIPT: &str = "#!/bin/bash\npg_dump | gzip > /tmp/x\n";
const LINE: &str = "30 2 * * * /srv/apps/backup.sh >> /var/log/backup.log 2>&1\n";

struct Machine {
    host: Host,
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            host: Host::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir_all(machine.host.path("config")).unwrap();
        std::fs::create_dir_all(machine.host.path("apps")).unwrap();
        std::fs::create_dir_all(machine.at("etc/systemd/system")).unwrap();
        machine.configure("");
        machine
    }

    fn configure(&self, more: &str) {
        let text = format!("directory = \"/mnt/backups\"\n{more}");
        std::fs::write(self.host.path("config/backup.toml"), text).unwrap();
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap()
    }

    fn schedule(&self, arguments: &[&str]) -> Run {
        let root = self.folder.path().to_str().unwrap();
        let command = ["backup", "schedule", "--host-root", root];
        self.host.ops(&[&command[..], arguments].concat())
    }

    /// Every file of both trees, with its content.
    fn content(&self) -> Vec<(PathBuf, String)> {
        let mut all = Vec::new();
        let mut folders = vec![self.folder.path().to_owned(), self.host.root()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let is_own = path.ends_with("data/platform-ops");
                match std::fs::symlink_metadata(&path).unwrap() {
                    _ if is_own => {}
                    found if found.is_dir() => folders.push(path),
                    found if found.is_symlink() => all.push((path, "link".to_owned())),
                    _ => all.push((path.clone(), std::fs::read_to_string(&path).unwrap())),
                }
            }
        }
        all.sort();
        all
    }
}

const SERVICE: &str = "etc/systemd/system/platform-ops-backup.service";
const TIMER: &str = "etc/systemd/system/platform-ops-backup.timer";
const WANTED: &str = "etc/systemd/system/timers.target.wants/platform-ops-backup.timer";
const CRON: &str = "etc/cron.d/platform-ops-backup";

#[test]
fn a_timer_is_installed_once_and_taken_away_whole() {
    let machine = Machine::new();
    let before = machine.content();
    let dry = machine.schedule(&["install", "--dry-run", "--json"]).ok();
    assert_eq!(machine.content(), before);
    let run = machine.schedule(&["install", "--json"]).ok();
    let plan = |run: &Run| run.json()["steps"].clone();
    assert_eq!(plan(&dry), plan(&run));
    assert!(machine.at(WANTED).is_symlink());
    for file in [SERVICE, TIMER] {
        let master = Path::new(file).file_name().unwrap();
        let master = machine.host.path("config/host").join(master);
        assert_eq!(std::fs::read_to_string(master).unwrap(), machine.read(file));
    }
    let root = format!(
        "--root {} backup create --scheduled",
        machine.host.root().display()
    );
    assert!(
        machine.read(SERVICE).contains(&root),
        "{}",
        machine.read(SERVICE)
    );

    let again = machine.schedule(&["install"]).ok();
    assert!(again.out.contains("nothing to do"), "{}", again.all());
    let shown = machine.schedule(&["show", "--json"]);
    assert_eq!(shown.code, 3, "nothing was backed up yet: {}", shown.all());
    assert_eq!(shown.json()["started_by"], serde_json::json!(["systemd"]));

    // What the operator put beside them stays.
    let drop_in = machine.at("etc/systemd/system/platform-ops-backup.service.d");
    std::fs::create_dir(&drop_in).unwrap();
    std::fs::write(drop_in.join("mine.conf"), "[Service]\n").unwrap();
    machine.schedule(&["remove"]).ok();
    std::fs::remove_dir_all(drop_in).unwrap();
    let mut after = machine.content();
    after.retain(|(path, _)| !path.ends_with("timers.target.wants"));
    assert_eq!(after, before);
    let again = machine.schedule(&["remove"]).ok();
    assert!(again.out.contains("nothing to do"), "{}", again.all());
}

/// T59: the window is that of the configuration, in the host's zone, and systemd understands it.
#[test]
fn t59_systemd_accepts_the_units_of_any_window() {
    for (more, wanted) in [
        ("", ["02:00:00", "03:00:00", "04:00:00", "22:00:00"]),
        (
            "[schedule]\nwindow = \"23:40-01:50\"\ntrading_hours = [\"Mon-Fri 02:00-21:15\"]\n",
            ["00:40:00", "01:40:00", "21:15:00", "23:40:00"],
        ),
    ] {
        let machine = Machine::new();
        machine.configure(more);
        machine.schedule(&["install"]).ok();
        let timer = machine.read(TIMER);
        let times = timer
            .lines()
            .filter_map(|line| line.strip_prefix("OnCalendar=*-*-* "));
        assert_eq!(times.collect::<Vec<_>>(), wanted);
        assert!(timer.contains("Persistent=true"), "{timer}");
        for time in wanted {
            let run = Command::new("systemd-analyze")
                .args(["calendar", &format!("*-*-* {time}")])
                .output()
                .unwrap();
            assert!(run.status.success());
        }
        // With this very program; whether Docker has a unit is not this test's question.
        let units = machine.at("units");
        std::fs::create_dir(&units).unwrap();
        let mut files = Vec::new();
        for unit in [SERVICE, TIMER] {
            let program = env!("CARGO_BIN_EXE_platform-ops");
            let text = machine
                .read(unit)
                .replace("/usr/local/bin/platform-ops", program);
            let path = units.join(Path::new(unit).file_name().unwrap());
            std::fs::write(&path, text.replace("Requires=docker.service\n", "")).unwrap();
            files.push(path);
        }
        let output = Command::new("systemd-analyze")
            .arg("verify")
            .args(&files)
            .output()
            .unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        let is_quiet = !complaints.contains("platform-ops-backup");
        assert!(output.status.success() && is_quiet, "{complaints}");
    }
}

#[test]
fn a_crontab_that_starts_the_script_is_found_and_never_both_run() {
    let machine = Machine::new();
    let crontab = machine.at("var/spool/cron/root");
    std::fs::create_dir_all(crontab.parent().unwrap()).unwrap();
    std::fs::write(&crontab, format!("MAILTO=ops\n{LINE}")).unwrap();
    std::fs::set_permissions(&crontab, PermissionsExt::from_mode(0o600)).unwrap();
    let script = machine.host.path("apps/backup.sh");
    std::fs::write(&script, SCRIPT).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o750)).unwrap();
    let before = machine.content();

    let refused = machine.schedule(&["install"]);
    assert_eq!(refused.code, 4, "{}", refused.all());
    assert!(refused.err.contains("var/spool/cron/root") && refused.err.contains("--replace-cron"));
    assert_eq!(machine.content(), before);

    machine.schedule(&["install", "--replace-cron"]).ok();
    let text = std::fs::read_to_string(&crontab).unwrap();
    assert!(text.starts_with("MAILTO=ops\n#"), "{text}");
    assert_eq!(host::access(&crontab).0, 0o600);
    let kept = machine.host.path("apps/backup.sh.before-platform-ops");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), SCRIPT);
    machine.schedule(&["install"]).ok();

    machine.schedule(&["remove"]).ok();
    assert_eq!(host::access(&script).0, 0o750);
    let mut after = machine.content();
    after.retain(|(path, _)| !path.ends_with("timers.target.wants"));
    assert_eq!(after, before);
}

/// The script's exit code means what it meant: 0 for a backup that is there, anything else for none.
#[test]
fn the_shim_has_the_exit_code_that_the_script_had() {
    let machine = Machine::new();
    let script = machine.host.path("apps/backup.sh");
    std::fs::write(&script, SCRIPT).unwrap();
    machine.schedule(&["install"]).ok();
    let text = std::fs::read_to_string(&script).unwrap();
    for (program, wanted) in [(0, 0), (3, 0), (1, 1), (4, 4), (12, 12), (13, 13)] {
        let fake = machine.at("program");
        let log = machine.at("arguments");
        let body = format!(
            "#!/bin/sh\necho \"$@\" > {}\nexit {program}\n",
            log.display()
        );
        std::fs::write(&fake, body).unwrap();
        std::fs::set_permissions(&fake, PermissionsExt::from_mode(0o755)).unwrap();
        let copy = machine.at("backup.sh");
        let fake = fake.to_str().unwrap();
        std::fs::write(&copy, text.replace("/usr/local/bin/platform-ops", fake)).unwrap();
        let run = Command::new("sh").arg(copy).status().unwrap();
        assert_eq!(run.code(), Some(wanted), "{program}");
        let arguments = std::fs::read_to_string(log).unwrap();
        assert!(arguments.trim().ends_with("backup create"), "{arguments}");
    }
}

#[test]
fn cron_takes_the_place_of_the_timer_and_the_other_way_round() {
    let machine = Machine::new();
    machine.schedule(&["install"]).ok();
    machine.schedule(&["install", "--cron"]).ok();
    assert!(!machine.at(WANTED).is_symlink() && !machine.at(TIMER).exists());
    let text = machine.read(CRON);
    assert!(
        text.ends_with('\n'),
        "cron ignores a last line without its end"
    );
    let shown = machine.schedule(&["show", "--json"]).json();
    assert_eq!(shown["started_by"], serde_json::json!(["cron"]));
    machine.schedule(&["install"]).ok();
    assert!(machine.at(WANTED).is_symlink() && !machine.at(CRON).exists());
}

#[test]
fn what_was_changed_by_hand_is_left_alone() {
    let machine = Machine::new();
    machine.schedule(&["install"]).ok();
    std::fs::write(machine.at(TIMER), "[Timer]\nOnCalendar=daily\n").unwrap();
    let before = machine.content();
    for command in ["install", "remove"] {
        let run = machine.schedule(&[command]);
        assert_eq!(run.code, 4, "{}", run.all());
        assert!(run.err.contains("platform-ops-backup.timer"), "{}", run.err);
        assert_eq!(machine.content(), before);
    }
    let other = Machine::new();
    std::fs::write(other.at(TIMER), "[Timer]\nOnCalendar=daily\n").unwrap();
    let run = other.schedule(&["install"]);
    assert_eq!(run.code, 4, "{}", run.all());
    let removed = other.schedule(&["remove"]).ok();
    assert!(removed.out.contains("nothing to do"), "{}", removed.all());
}

#[test]
fn a_window_in_trading_hours_is_refused() {
    let machine = Machine::new();
    machine.configure("[schedule]\nwindow = \"21:00-23:00\"\n");
    let run = machine.schedule(&["install"]);
    assert_eq!(run.code, 2, "{}", run.all());
    assert!(
        run.err.contains("21:00-23:00") && run.err.contains("Mon-Fri"),
        "{}",
        run.err
    );
}

/// `prune` killed anywhere: what is kept stays whole, a set that goes has no manifest first, and the
/// next run finishes.
#[test]
fn a_prune_that_is_killed_anywhere_loses_nothing_that_stays() {
    use jiff::{SignedDuration, Timestamp};
    use platform_ops::backup::listing::Listing;
    use platform_ops::backup::store::Store;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let machine = Machine::new();
    let memory = sets::folder();
    let folder = memory.path().join("store");
    let retention = "[retention]\ndaily = 2\nweekly = 0\nmonthly = 1\nyearly = 0\nfloor = 2\n";
    let text = format!("directory = {folder:?}\n{retention}");
    std::fs::write(machine.host.path("config/backup.toml"), text).unwrap();
    let store = Store::Folder(folder);
    let start: Timestamp = "2026-02-01T02:00:00Z".parse().unwrap();
    runtime.block_on(async {
        for day in 0..24 {
            let now = start + SignedDuration::from_hours(24 * day);
            let set = sets::make(&store, now, sets::SOURCE, sets::Reach::Whole).await;
            sets::drill(&store, &set, now, "run", &[]).await;
        }
    });
    let listing = || runtime.block_on(Listing::read(&store)).unwrap();
    let all = listing().sets;
    let kept: Vec<&str> = all[all.len() - 2..].iter().map(|set| set.id()).collect();
    for kill_after in [0, 1, 3, 7] {
        let code = host::signal_after(&machine.host, kill_after, "KILL", || {
            machine.host.spawn(&["backup", "prune", "--apply"])
        });
        let now = listing();
        assert_eq!(now.broken, [], "{code:?}");
        for id in &kept {
            assert!(runtime.block_on(sets::is_whole(&store, id)), "{id}");
        }
        for set in &now.sets {
            assert!(runtime.block_on(sets::is_whole(&store, set.id())));
        }
    }
    machine.host.ops(&["backup", "prune", "--apply"]).ok();
    let after = listing();
    let left: Vec<&str> = after.sets.iter().map(|set| set.id()).collect();
    assert_eq!(left, kept);
    assert_eq!(after.unfinished, [] as [String; 0]);
}
