//! Faults of the machine that only root can bring about: full disks, no watches left, a disk that
//! does not read, names that do not resolve.

#![allow(clippy::unwrap_used)]

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fixtures::docker_log::{DockerLog, Rotation};
use fixtures::wait;

use harness::Harness;

const SOON: Duration = Duration::from_secs(60);

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A file system that goes when this does.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(at: &Path, bytes: u64) -> Self {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={bytes},mode=700");
        run(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                &options,
                "tmpfs",
                &at.to_string_lossy(),
            ],
        );
        Self(at.to_owned())
    }

    /// A file that gives nothing but errors in the place of `at`: the memory of another process.
    fn unreadable(at: &Path) -> Self {
        run(
            "mount",
            &["--bind", "/proc/self/mem", &at.to_string_lossy()],
        );
        Self(at.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn write(log: &mut DockerLog, label: &str, count: usize) -> Vec<String> {
    let lines: Vec<String> = (0..count).map(|n| format!("{label} {n:05}")).collect();
    lines.iter().for_each(|line| log.say(line).unwrap());
    lines
}

#[test]
fn t26_a_full_disk_under_the_state_folder_heals_without_a_restart() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    let state = harness.dir().join("state");
    let _disk = Mount::tmpfs(&state, 1 << 20);
    let mut log = DockerLog::create(containers.path(), "web", Rotation::plain(20_000, 5)).unwrap();
    let mut lines = write(&mut log, "before", 100);
    harness.start_agent();
    harness.assert_arrived("web", &lines);
    let filler = state.join("filler");
    // As much as goes in.
    assert!(fs::write(&filler, vec![0; 2 << 20]).is_err());
    lines.extend(write(&mut log, "during", 100));
    lines.sort_unstable();
    harness.assert_arrived("web", &lines);
    harness.wait_for_status("not ready", |status| {
        status["unready_reason"] == "the last checkpoint could not be saved"
    });
    fs::remove_file(&filler).unwrap();
    harness.wait_for_status("ready", |status| status["ready"] == true);
    harness.kill_agent();
    let entries = harness.entries();
    harness.start_agent();
    lines.extend(write(&mut log, "later", 10));
    lines.sort_unstable();
    harness.assert_arrived("web", &lines);
    assert_eq!(
        harness.entries(),
        entries + 10,
        "the checkpoint was up to date"
    );
    harness.terminate_agent();
}

#[test]
fn t25_t26_below_the_floor_of_free_disk_deleted_logs_are_let_go_of() {
    let root = tempfile::tempdir().unwrap();
    let containers = root.path().join("containers");
    let _disk = Mount::tmpfs(&containers, 16 << 20);
    let mut harness = Harness::new(&containers, &["*"]);
    harness.set("source", "scan_interval", "\"200ms\"");
    harness.set("limits", "min_free", "\"10MiB\"");
    // Nothing gets away, so what is deleted is held.
    harness.set("send", "max_in_flight", "1");
    harness.set("memory", "budget", "\"14MiB\"");
    harness.set("batch", "max_bytes", "\"128KiB\"");
    harness.add_fault(fixtures::emulator::Fault::new(
        fixtures::emulator::FaultKind::Status(503),
    ));
    harness.start_agent();
    let mut log = DockerLog::create(&containers, "web", Rotation::plain(1 << 20, 1)).unwrap();
    let used = |path: &Path| {
        let stat = rustix::fs::statvfs(path).unwrap();
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    };
    let line = "x".repeat(900);
    // Each file of 1 MiB is deleted when the next begins. Two go into memory, the others are held.
    while log.rotations() < 9 {
        for _ in 0..100 {
            log.say(&line).unwrap();
        }
        wait::until("the current file to be held", SOON, || {
            Ok(harness.holds(&log.path()).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}\n{}", harness.agent_log()));
    }
    wait::until("room", SOON, || {
        Ok((used(&containers) <= 6 << 20).then_some(()))
    })
    .unwrap();
    assert!(
        harness.agent_log().contains("limits.min_free"),
        "{}",
        harness.agent_log()
    );
    harness.emulator().clear_faults();
    harness.wait_for_status("the loss to be told", |status| status["lost_bytes"] != 0);
    harness.terminate_agent();
}

#[test]
fn t30_without_watches_logs_are_found_by_scanning() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    harness.set("source", "scan_interval", "\"300ms\"");
    // In a user namespace of its own the limit is the agent's alone.
    harness.start_agent_through(&[
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        "echo 1 >/proc/sys/user/max_inotify_watches && exec \"$0\" \"$@\"",
    ]);
    let rotation = Rotation::plain(50_000, 10);
    let mut logs: Vec<DockerLog> = (0..5)
        .map(|n| DockerLog::create(containers.path(), &format!("c{n}"), rotation).unwrap())
        .collect();
    for log in &mut logs {
        let lines = write(log, "line", 2_000);
        let name = log.name().to_owned();
        harness.assert_arrived(&name, &lines);
    }
    let text = harness.agent_log();
    assert!(
        text.contains("raise the sysctl fs.inotify.max_user_watches"),
        "{text}"
    );
    harness.terminate_agent();
}

/// A limit of the system that is what it was when this goes.
struct Sysctl {
    path: &'static str,
    before: String,
}

impl Sysctl {
    fn set(path: &'static str, value: &str) -> Self {
        let before = fs::read_to_string(path).unwrap();
        fs::write(path, value).unwrap();
        Self { path, before }
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        fs::write(self.path, &self.before).unwrap();
    }
}

#[test]
fn t30_after_an_overflow_of_the_kernels_queue_everything_is_looked_at() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    // Only the overflow itself can lead to what it swallowed.
    harness.set("source", "scan_interval", "\"1h\"");
    let mut old = DockerLog::create(containers.path(), "old", Rotation::plain(500, 200)).unwrap();
    let mut lines = write(&mut old, "before", 5);
    let queue = Sysctl::set("/proc/sys/fs/inotify/max_queued_events", "16");
    harness.start_agent();
    harness.assert_arrived("old", &lines);
    drop(queue);
    // While it stands still nobody empties the queue.
    let process = harness.agent_id().to_string();
    run("kill", &["-STOP", &process]);
    lines.extend(write(&mut old, "during", 100));
    let rotation = Rotation::plain(500, 10);
    let mut logs: Vec<DockerLog> = (0..40)
        .map(|n| DockerLog::create(containers.path(), &format!("c{n}"), rotation).unwrap())
        .collect();
    let written: Vec<_> = logs.iter_mut().map(|log| write(log, "new", 15)).collect();
    run("kill", &["-CONT", &process]);
    lines.sort_unstable();
    harness.assert_arrived("old", &lines);
    for (log, lines) in logs.iter().zip(&written) {
        harness.assert_arrived(log.name(), lines);
    }
    harness.terminate_agent();
}

#[test]
fn t72_a_disk_that_does_not_read_is_told_and_read_later() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    harness.set("source", "scan_interval", "\"300ms\"");
    let mut log = DockerLog::create(containers.path(), "web", Rotation::NONE).unwrap();
    let lines = write(&mut log, "line", 50);
    let bad = Mount::unreadable(&log.path());
    harness.start_agent();
    harness.wait_for_status("the error to be told", |status| {
        let left_out = &status["left_out"][0];
        left_out["name"] == "web"
            && left_out["reason"]
                .as_str()
                .unwrap()
                .contains("cannot be read: ")
    });
    drop(bad);
    harness.assert_arrived("web", &lines);
    harness.wait_for_status("nothing to be told", |status| {
        status["left_out"].as_array().unwrap().is_empty()
    });
    harness.terminate_agent();
}

/// In a mount namespace of its own the agent has a hosts file of its own, and no name server.
#[test]
fn t55_a_name_that_does_not_resolve_is_asked_for_again() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    let mut log = DockerLog::create(containers.path(), "web", Rotation::NONE).unwrap();
    let [hosts, resolv] = ["hosts", "resolv.conf"].map(|name| harness.dir().join(name));
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    fs::write(
        &resolv,
        "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    )
    .unwrap();
    let port = harness.emulator().address().port();
    harness.redirect(&format!("http://logging.test:{port}"));
    let script = format!(
        "mount --bind {} /etc/hosts && mount --bind {} /etc/resolv.conf && exec \"$0\" \"$@\"",
        hosts.display(),
        resolv.display()
    );
    let wrapper = ["unshare", "--mount", "sh", "-c"];
    harness.start_agent_through(&[&wrapper[..], &[&script]].concat());
    let lines = write(&mut log, "nameless", 50);
    harness.wait_for_status("the failure to be told", |status| {
        let error = status["send_error"].as_str().unwrap_or_default();
        error.contains("logging.test") || error.contains("dns")
    });
    fs::write(&hosts, "127.0.0.1 localhost logging.test\n").unwrap();
    harness.assert_arrived("web", &lines);
    harness.terminate_agent();
}

/// Not on tmpfs, which has nothing to give back.
#[test]
fn the_page_cache_is_given_back_behind_a_backlog() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let containers = tempfile::tempdir_in(dir).unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    let rotation = Rotation::plain(16 << 20, 3);
    let mut log = DockerLog::create(containers.path(), "web", rotation).unwrap();
    let line = "x".repeat(4_000);
    while log.rotations() < 1 {
        log.say(&line).unwrap();
    }
    let rotated = PathBuf::from(format!("{}.1", log.path().display()));
    // Only what is on the disk can be given back.
    fs::File::open(&rotated).unwrap().sync_all().unwrap();
    let cached = || -> u64 {
        let text = run(
            "fincore",
            &[
                "--bytes",
                "--noheadings",
                "--output",
                "RES",
                &rotated.to_string_lossy(),
            ],
        );
        text.trim().parse().unwrap()
    };
    assert!(cached() > 15 << 20);
    harness.start_agent();
    harness.wait_for_status("all to be sent", |status| {
        status["accepted_entries"].as_u64() > Some(1_000) && status["lag_bytes"] == 0
    });
    wait::until("the cache to be given back", SOON, || {
        Ok((cached() < 2 << 20).then_some(()))
    })
    .unwrap();
    harness.terminate_agent();
}

#[test]
fn the_agent_stands_back_and_leaves_no_core() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    harness.start_agent();
    harness.status();
    let process = harness.agent_id();
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    assert_eq!(core.unwrap().split_whitespace().nth(4), Some("0"));
    for thread in fs::read_dir(format!("/proc/{process}/task")).unwrap() {
        let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        // proc(5): nice is the 19th field, the 17th behind the name.
        assert_eq!(after_name.split_whitespace().nth(16), Some("10"), "{stat}");
    }
    harness.terminate_agent();
}
