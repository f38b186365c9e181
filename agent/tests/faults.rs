//! Faults of docs/faults.md that need nothing but files: what Docker, operators and the system do
//! to logs while the agent runs.

#![allow(clippy::unwrap_used)]

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use fixtures::docker_log::{DockerLog, Rotation, Stream, describe, random_id};
use fixtures::wait;
use tempfile::TempDir;

use harness::permission::{set_mode, without_capabilities};
use harness::{BINARY, Harness};

/// Long enough for a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// So long that only a watch can find anything in time.
const NEVER: &str = "\"1h\"";
/// Instead of ten seconds, where the scan is what finds things.
const OFTEN: &str = "\"500ms\"";

fn bench(include: &str) -> (TempDir, Harness) {
    let containers = tempfile::tempdir().unwrap();
    let harness = Harness::new(containers.path(), &[include]);
    (containers, harness)
}

fn lines(label: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{label} {n:05}")).collect()
}

fn write(log: &mut DockerLog, lines: &[String]) {
    lines.iter().for_each(|line| log.say(line).unwrap());
}

/// Waits until the agent holds a descriptor on this log.
fn wait_until_held(harness: &Harness, log: &DockerLog) {
    wait::until("a descriptor", SOON, || {
        Ok(harness.holds(&log.path()).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", harness.agent_log()));
}

#[test]
fn t23_t24_containers_that_are_gone_before_the_next_scan_are_shipped() {
    let (containers, mut harness) = bench("*");
    harness.set("source", "scan_interval", NEVER);
    harness.start_agent();
    harness.status();
    let mut written = Vec::new();
    for n in 0..60 {
        let name = format!("brief-{n}");
        let mut log = DockerLog::create(containers.path(), &name, Rotation::NONE).unwrap();
        let lines = lines(&name, 5);
        write(&mut log, &lines);
        wait_until_held(&harness, &log);
        log.remove().unwrap();
        written.push((name, lines));
    }
    for (name, lines) in written {
        harness.assert_arrived(&name, &lines);
    }
    harness.terminate_agent();
}

#[test]
fn t27_an_unterminated_last_line_is_not_glued_to_the_next_run() {
    let (containers, mut harness) = bench("*");
    harness.start_agent();
    let mut log = DockerLog::create(containers.path(), "loop", Rotation::NONE).unwrap();
    let mut lines = lines("abc", 200);
    for (n, line) in lines.iter().enumerate() {
        let stream = if n % 7 == 0 { Stream::Err } else { Stream::Out };
        log.write(stream, line.as_bytes(), false).unwrap();
        log.restart().unwrap();
    }
    // What follows on its stream ends a line; the very last of all would have to be given up by
    // age, and then is one that may be continued.
    for stream in [Stream::Out, Stream::Err] {
        log.write(stream, b"the end", true).unwrap();
        lines.push("the end".to_owned());
    }
    harness.assert_arrived("loop", &lines);
    harness.terminate_agent();
}

#[test]
fn t31_logs_beyond_the_limit_of_descriptors_are_all_read() {
    let (containers, mut harness) = bench("*");
    harness.start_agent_through(&["prlimit", "--nofile=64:64", "--"]);
    let rotation = Rotation::plain(500, 4);
    let mut logs: Vec<DockerLog> = (0..500)
        .map(|n| DockerLog::create(containers.path(), &format!("c{n}"), rotation).unwrap())
        .collect();
    for log in &mut logs {
        let name = log.name().to_owned();
        write(log, &lines(&name, 15));
    }
    for log in &logs {
        harness.assert_arrived(log.name(), &lines(log.name(), 15));
    }
    assert!(harness.descriptors("-json.log") <= 64);
    assert!(harness.agent_log().contains("raise RLIMIT_NOFILE"));
    harness.terminate_agent();
}

#[test]
fn t33_a_description_that_is_torn_and_comes_late_leaves_nothing_out() {
    let (containers, mut harness) = bench("web-*");
    harness.set("source", "scan_interval", OFTEN);
    harness.start_agent();
    let id = random_id().unwrap();
    let mut log = DockerLog::open(containers.path(), &id, "web-1", Rotation::NONE).unwrap();
    let folder = containers.path().join(&id);
    fs::write(
        folder.join("config.v2.json"),
        "{\"ID\":\"x\",\"Name\":\"/web-",
    )
    .unwrap();
    let lines = lines("early", 10);
    write(&mut log, &lines);
    harness.wait_for_status("the short id to be left out", |status| {
        let left_out = status["left_out"].as_array().unwrap();
        left_out.iter().any(|left_out| left_out["name"] == id[..12])
    });
    describe(&folder, &id, "web-1").unwrap();
    harness.assert_arrived("web-1", &lines);
    harness.terminate_agent();
}

#[test]
fn t33_a_rename_while_running_loses_and_repeats_nothing() {
    let (containers, mut harness) = bench("*");
    harness.start_agent();
    let mut log = DockerLog::create(containers.path(), "old", Rotation::plain(5_000, 3)).unwrap();
    let before = lines("before", 20);
    write(&mut log, &before);
    harness.assert_arrived("old", &before);
    log.rename("new").unwrap();
    let mut written = 0;
    wait::until("a line under the new name", SOON, || {
        log.say(&format!("after {written:05}"))?;
        written += 1;
        harness.take_in();
        Ok((harness.ids("new") > 0).then_some(()))
    })
    .unwrap();
    let all: BTreeSet<String> = before.into_iter().chain(lines("after", written)).collect();
    wait::until("every line under one name or the other", SOON, || {
        harness.take_in();
        let arrived = [harness.lines("old"), harness.lines("new")].concat();
        let distinct: BTreeSet<String> = arrived.iter().cloned().collect();
        assert_eq!(distinct.len(), arrived.len());
        Ok((distinct == all).then_some(()))
    })
    .unwrap();
    harness.terminate_agent();
}

#[test]
fn t68_nothing_is_left_of_containers_that_came_and_went() {
    let (containers, mut harness) = bench("*");
    harness.set("source", "scan_interval", OFTEN);
    harness.start_agent();
    let cycle = |harness: &mut Harness, round: usize| {
        let mut logs: Vec<DockerLog> = (0..40)
            .map(|n| {
                let name = format!("r{round}-{n}");
                DockerLog::create(containers.path(), &name, Rotation::NONE).unwrap()
            })
            .collect();
        logs.iter_mut().for_each(|log| log.say("one").unwrap());
        for log in logs {
            harness.assert_arrived(log.name(), &["one".to_owned()]);
            log.remove().unwrap();
        }
    };
    (0..6).for_each(|round| cycle(&mut harness, round));
    wait::until("every descriptor and watch to be given back", SOON, || {
        let logs = harness.descriptors("-json.log");
        let watches = watches(harness.agent_id());
        // The folder of containers stays watched.
        Ok((logs == 0 && watches == 1).then_some(()))
    })
    .unwrap();
    harness.wait_for_status("no container", |status| {
        status["containers"].as_array().unwrap().is_empty() && status["lag_bytes"] == 0
    });
    harness.terminate_agent();
}

/// inotify watches of a process (proc(5), fdinfo).
fn watches(process: u32) -> usize {
    let infos = fs::read_dir(format!("/proc/{process}/fdinfo")).unwrap();
    infos
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .map(|text| {
            text.lines()
                .filter(|line| line.starts_with("inotify "))
                .count()
        })
        .sum()
}

fn is_told_unreadable(status: &serde_json::Value, name: &str) -> bool {
    let left_out = status["left_out"].as_array().unwrap();
    left_out.iter().any(|left_out| {
        let reason = left_out["reason"].as_str().unwrap();
        left_out["name"] == name && reason.starts_with("cannot be read: Permission denied")
    })
}

#[test]
fn t72_a_log_and_a_folder_that_are_refused_for_a_while_are_read_later() {
    let (containers, mut harness) = bench("*");
    harness.set("source", "scan_interval", OFTEN);
    let mut log = DockerLog::create(containers.path(), "file", Rotation::NONE).unwrap();
    let mut other = DockerLog::create(containers.path(), "folder", Rotation::NONE).unwrap();
    let lines = lines("line", 10);
    write(&mut log, &lines);
    write(&mut other, &lines);
    set_mode(&log.path(), 0o000);
    harness.start_agent_through(without_capabilities());
    harness.assert_arrived("folder", &lines);
    harness.wait_for_status("the file to be told", |status| {
        is_told_unreadable(status, "file")
    });
    set_mode(&log.path(), 0o640);
    harness.assert_arrived("file", &lines);
    set_mode(other.folder(), 0o000);
    harness.wait_for_status("the folder to be told", |status| {
        is_told_unreadable(status, "folder")
    });
    set_mode(other.folder(), 0o710);
    harness.wait_for_status("nothing to be told", |status| {
        status["left_out"].as_array().unwrap().is_empty()
    });
    other.say("more").unwrap();
    harness.assert_arrived("folder", &[lines, vec!["more".to_owned()]].concat());
    harness.terminate_agent();
}

#[test]
fn t73_a_data_root_behind_a_symlink_may_move_while_the_agent_runs() {
    let roots = tempfile::tempdir().unwrap();
    let (first, second) = (roots.path().join("first"), roots.path().join("second"));
    let link = roots.path().join("containers");
    fs::create_dir(&first).unwrap();
    symlink(&first, &link).unwrap();
    let mut harness = Harness::new(&link, &["*"]);
    harness.set("source", "scan_interval", OFTEN);
    harness.start_agent();
    let mut log = DockerLog::create(&first, "web", Rotation::plain(3_000, 4)).unwrap();
    let mut written = lines("before", 50);
    write(&mut log, &written);
    harness.assert_arrived("web", &written);
    // The engine is stopped, its data root moved, the engine started.
    let id = log.id().to_owned();
    drop(log);
    fs::rename(&first, &second).unwrap();
    fs::remove_file(&link).unwrap();
    symlink(&second, &link).unwrap();
    let log = fs::File::options()
        .append(true)
        .open(second.join(&id).join(format!("{id}-json.log")));
    let mut log = log.unwrap();
    for line in lines("later", 20) {
        let time = jiff::Timestamp::now().to_string();
        for piece in fixtures::docker_log::pieces(line.as_bytes(), true, "stdout", &time) {
            std::io::Write::write_all(&mut log, &piece).unwrap();
        }
        written.push(line);
    }
    harness.assert_arrived("web", &written);
    let mut late = DockerLog::create(&second, "late", Rotation::NONE).unwrap();
    late.say("here").unwrap();
    harness.assert_arrived("late", &["here".to_owned()]);
    harness.terminate_agent();
}

#[test]
fn t73_a_folder_of_containers_that_comes_after_the_start_is_found_and_watched() {
    let root = tempfile::tempdir().unwrap();
    let containers = root.path().join("containers");
    let mut harness = Harness::new(&containers, &["*"]);
    harness.set("source", "scan_interval", OFTEN);
    harness.start_agent();
    harness.wait_for_status("not ready", |status| {
        let reason = status["unready_reason"].as_str().unwrap_or_default();
        reason.contains("the folder of containers cannot be read")
    });
    fs::create_dir(&containers).unwrap();
    let mut log = DockerLog::create(&containers, "web", Rotation::NONE).unwrap();
    log.say("here").unwrap();
    harness.assert_arrived("web", &["here".to_owned()]);
    harness.wait_for_status("ready", |status| status["ready"] == true);
    assert_eq!(watches(harness.agent_id()), 2);
    harness.terminate_agent();
}

#[test]
fn t66_logs_are_opened_for_reading_only() {
    /// The access mode in `flags:` of /proc/PID/fdinfo, octal: 0 is O_RDONLY.
    const ACCESS_MODE: u32 = 0o3;
    let (containers, mut harness) = bench("*");
    let mut log = DockerLog::create(containers.path(), "web", Rotation::plain(500, 3)).unwrap();
    let lines = lines("web", 60);
    write(&mut log, &lines);
    harness.start_agent();
    harness.wait_for_status("all of it", |status| status["lag_bytes"] == 0);
    let process = format!("/proc/{}", harness.agent_id());
    let mut looked_at = 0;
    for entry in fs::read_dir(format!("{process}/fd")).unwrap().flatten() {
        let Ok(path) = fs::read_link(entry.path()) else {
            continue;
        };
        if path.starts_with(containers.path()) {
            let number = entry.file_name().into_string().unwrap();
            let info = fs::read_to_string(format!("{process}/fdinfo/{number}")).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = u32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
            assert_eq!(flags & ACCESS_MODE, 0, "{}", path.display());
            looked_at += 1;
        }
    }
    assert!(looked_at > 0, "no log is held");
    harness.terminate_agent();
}

#[test]
fn t74_a_second_agent_on_the_same_state_folder_exits_and_says_why() {
    let (containers, mut harness) = bench("*");
    let mut log = DockerLog::create(containers.path(), "web", Rotation::NONE).unwrap();
    harness.start_agent();
    harness.status();
    let second = Command::new(BINARY)
        .args(["run", "--config"])
        .arg(harness.config())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(3));
    let text = String::from_utf8(second.stderr).unwrap();
    let wanted = format!(
        "in use by another platform-agent (process {})",
        harness.agent_id()
    );
    assert!(text.contains(&wanted), "{text}");
    log.say("still here").unwrap();
    harness.assert_arrived("web", &["still here".to_owned()]);
    harness.terminate_agent();
}
