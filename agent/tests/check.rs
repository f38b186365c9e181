//! `platform-agent check`: what it finds, where it says so, and how it exits.

#![allow(clippy::unwrap_used)]

mod harness;

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Output};

use fixtures::docker_log::{DockerLog, Rotation, describe_host, random_id};
use fixtures::emulator::{Fault, FaultKind, Query};
use serde_json::{Value, json};

use harness::Harness;
use harness::permission::{self, set_mode};

const BINARY: &str = env!("CARGO_BIN_EXE_platform-agent");

/// A harness over a folder of containers that is empty still.
struct Bench {
    harness: Harness,
    containers: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let containers = tempfile::tempdir().unwrap();
        let harness = Harness::new(containers.path(), &["*"]);
        Self {
            harness,
            containers,
        }
    }

    fn log(&self, name: &str, rotation: Rotation) -> DockerLog {
        DockerLog::create(self.containers.path(), name, rotation).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("check").arg("--config");
        command.arg(self.harness.config()).args(arguments);
        command
    }

    /// The exit code and the report.
    fn report(&self, command: &mut Command) -> (i32, Report) {
        let output = command.arg("--json").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        let report = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{error}"));
        (output.status.code().unwrap(), Report(report))
    }
}

struct Report(Value);

impl Report {
    /// The findings of one kind.
    fn findings(&self, check: &str) -> Vec<&Value> {
        let findings = self.0["findings"].as_array().unwrap();
        findings
            .iter()
            .filter(|finding| finding["check"] == check)
            .collect()
    }

    /// The only finding of one kind.
    fn finding(&self, check: &str) -> &Value {
        let findings = self.findings(check);
        assert_eq!(findings.len(), 1, "{check}: {:#}", self.0);
        findings[0]
    }

    /// The only finding of one kind has this verdict, these words in its evidence and its next
    /// step.
    fn assert(&self, check: &str, verdict: &str, evidence: &str, next: &str) {
        let finding = self.finding(check);
        let has = |key: &str, words: &str| finding[key].as_str().unwrap().contains(words);
        assert_eq!(finding["verdict"], verdict, "{finding:#}");
        assert!(has("evidence", evidence), "{evidence}: {finding:#}");
        assert!(has("next", next), "{next}: {finding:#}");
    }
}

#[test]
fn a_sound_setting_is_ready_and_sends_one_marked_entry() {
    let bench = Bench::new();
    let mut bytes = 0;
    for name in ["web", "db"] {
        let mut log = bench.log(name, Rotation::gz(2_000, 3));
        (0..100).for_each(|n| log.say(&format!("line {n} of {name}")).unwrap());
        for entry in fs::read_dir(log.folder()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_string_lossy().into_owned();
            if name.ends_with(".gz") {
                let file = fs::File::open(&path).unwrap();
                let mut text = String::new();
                let read = std::io::Read::read_to_string(
                    &mut flate2::read::GzDecoder::new(file),
                    &mut text,
                );
                bytes += read.unwrap() as u64;
            } else if name.contains("-json.log") {
                bytes += fs::metadata(&path).unwrap().len();
            }
        }
    }
    let (code, report) = bench.report(&mut bench.command(&[]));
    assert_eq!(
        (code, &report.0["verdict"]),
        (0, &json!("ok")),
        "{:#}",
        report.0
    );
    assert_eq!(report.0["schema"], "platform-agent/check/1");
    assert_eq!(report.0["first_start"]["send_bytes"], bytes);
    let entries = bench.harness.emulator().entries(&Query::default());
    assert_eq!(entries.len(), 1);
    assert_eq!(&*entries[0].subject, "platform-agent check");
    assert_eq!(
        &*entries[0].kind,
        "com.oraclecloud.logging.custom.docker.check"
    );
    report.assert("entry", "ok", &entries[0].id, "");
    // Nothing is left behind.
    assert!(!bench.harness.dir().join("state").exists());
}

#[test]
fn no_send_sends_nothing_and_still_looks_at_endpoint_and_clock() {
    let bench = Bench::new();
    bench.log("web", Rotation::NONE);
    let (code, report) = bench.report(&mut bench.command(&["--no-send"]));
    assert_eq!(code, 0, "{:#}", report.0);
    report.assert("endpoint", "ok", "", "");
    report.assert("clock", "ok", "the service's Date is", "");
    report.assert("entry", "note", "", "");
    assert_eq!(bench.harness.emulator().summary().requests, 0);
}

#[test]
fn every_wrong_key_is_told_with_path_and_line_and_the_exit_code_is_2() {
    let bench = Bench::new();
    let path = bench.harness.dir().join("wrong.toml");
    let text = "[logging]\nlog_id = \"ocid1.log.oc1..x\"\nendpont = \"x\"\n[batch]\nmax_age = 5\n";
    fs::write(&path, text).unwrap();
    let run = |json: &[&str]| {
        let mut command = Command::new(BINARY);
        let output = command
            .arg("check")
            .arg("--config")
            .arg(&path)
            .args(json)
            .output();
        let output: Output = output.unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stdout).unwrap()
    };
    let report = Report(serde_json::from_str(&run(&["--json"])).unwrap());
    let told: Vec<(&str, &str)> = report
        .findings("configuration")
        .into_iter()
        .map(|finding| {
            let text = |key: &str| finding[key].as_str().unwrap();
            (text("subject"), text("evidence"))
        })
        .collect();
    let line = |line: u32| format!("{}:{line}", path.display());
    assert_eq!(
        told,
        [("batch.max_age", &*line(5)), ("logging.endpont", &*line(3))]
    );
    let page = run(&[]);
    let wanted = ["did you mean `logging.endpoint`?", "not ready, errors: 2"];
    assert!(wanted.iter().all(|words| page.contains(words)), "{page}");
}

/// The same command in a process that permissions hold back.
fn without_capabilities(command: &Command) -> Command {
    let mut words = permission::without_capabilities().iter().map(OsStr::new);
    let mut bare = Command::new(words.next().unwrap_or(command.get_program()));
    if bare.get_program() != command.get_program() {
        bare.args(words).arg(command.get_program());
    }
    bare.args(command.get_args());
    bare
}

#[test]
fn t72_a_folder_that_is_refused_is_told_with_owner_mode_and_uid() {
    let bench = Bench::new();
    set_mode(bench.containers.path(), 0o000);
    let (code, report) = bench.report(&mut without_capabilities(&bench.command(&["--no-send"])));
    set_mode(bench.containers.path(), 0o700);
    assert_eq!(code, 1);
    let uid = rustix::process::geteuid().as_raw();
    report.assert("containers folder", "error", "0000, we are uid ", "");
    report.assert(
        "containers folder",
        "error",
        &format!("we are uid {uid}"),
        "",
    );
}

#[test]
fn t72_a_log_file_that_is_refused_is_told_with_its_container() {
    let bench = Bench::new();
    let log = bench.log("web", Rotation::NONE);
    set_mode(&log.path(), 0o000);
    let (code, report) = bench.report(&mut without_capabilities(&bench.command(&["--no-send"])));
    assert_eq!(code, 1, "{:#}", report.0);
    report.assert("log file", "error", "-json.log is ", "");
    assert_eq!(report.finding("log file")["subject"], "web");
}

#[test]
fn t73_a_moved_data_root_is_found() {
    let bench = Bench::new();
    let moved = bench.containers.path().join("100000.100000/containers");
    fs::create_dir_all(&moved).unwrap();
    let mut command = bench.command(&["--no-send"]);
    command.env(
        "PLATFORM_AGENT_SOURCE__CONTAINERS_DIR",
        bench.containers.path().join("containers"),
    );
    let (code, report) = bench.report(&mut command);
    assert_eq!(code, 1);
    let moved = moved.to_string_lossy();
    report.assert("containers folder", "error", &moved, &moved);
}

#[test]
fn a_state_folder_that_cannot_be_written_is_an_error() {
    let bench = Bench::new();
    let state = bench.harness.dir().join("state");
    fs::create_dir(&state).unwrap();
    set_mode(&state, 0o500);
    let (code, report) = bench.report(&mut without_capabilities(&bench.command(&["--no-send"])));
    assert_eq!(code, 1, "{:#}", report.0);
    report.assert("state folder", "error", "0500", "set state.dir");
    fs::remove_dir(&state).unwrap();
    fs::write(&state, "").unwrap();
    let (_, report) = bench.report(&mut bench.command(&["--no-send"]));
    report.assert("state folder", "error", "is not a folder", "set state.dir");
}

#[test]
fn credentials_that_cannot_be_loaded_are_an_error() {
    let bench = Bench::new();
    let mut command = bench.command(&[]);
    command.env("PLATFORM_AGENT_OCI__AUTH", "api_key");
    command.env("PLATFORM_AGENT_OCI__CONFIG_FILE", "/nowhere/config");
    let (code, report) = bench.report(&mut command);
    assert_eq!(code, 1);
    report.assert("credentials", "error", "/nowhere/config", "");
}

#[test]
fn an_endpoint_where_nobody_listens_is_an_error() {
    let bench = Bench::new();
    for arguments in [&["--no-send"][..], &[]] {
        let mut command = bench.command(arguments);
        // Nothing listens on the discard port.
        command.env("PLATFORM_AGENT_LOGGING__ENDPOINT", "http://127.0.0.1:9");
        let (code, report) = bench.report(&mut command);
        assert_eq!(code, 1);
        report.assert("endpoint", "error", "refused", "firewall");
    }
}

#[test]
fn a_refused_entry_is_told_with_the_request_id_and_what_to_do() {
    let bench = Bench::new();
    bench
        .harness
        .add_fault(Fault::times(FaultKind::Status(404), 1));
    let (code, report) = bench.report(&mut bench.command(&[]));
    assert_eq!(code, 1);
    report.assert("entry", "error", "opc-request-id", "allow group");
    report.assert("endpoint", "ok", "", "");
}

#[test]
fn t71_a_wrong_clock_is_named_with_and_without_an_entry() {
    let bench = Bench::new();
    bench.harness.emulator().set_clock_offset_seconds(-400);
    for arguments in [&["--no-send"][..], &[]] {
        let (code, report) = bench.report(&mut bench.command(arguments));
        assert_eq!(code, 1);
        report.assert("clock", "error", "the service's Date is", "chrony");
        let what = report.finding("clock")["what"].as_str().unwrap();
        let seconds: u64 = what.split(' ').next().unwrap().parse().unwrap();
        assert!(
            (395..=405).contains(&seconds) && what.contains("ahead of"),
            "{what}"
        );
    }
}

#[test]
fn t34_what_endangers_a_log_is_told_by_container() {
    let bench = Bench::new();
    let _single = bench.log("single", Rotation::plain(1 << 20, 1));
    let _sound = bench.log("sound", Rotation::gz(1 << 20, 5));
    let brief = bench.log("brief", Rotation::NONE);
    describe_host(brief.folder(), &json!({ "Type": "json-file" }), true).unwrap();
    let silent = bench.log("silent", Rotation::NONE);
    describe_host(silent.folder(), &json!({ "Type": "local" }), false).unwrap();
    let id = random_id().unwrap();
    fs::create_dir(bench.containers.path().join(&id)).unwrap();
    fs::write(
        bench.containers.path().join(&id).join("config.v2.json"),
        "{\"Name\":\"/to",
    )
    .unwrap();
    let (code, report) = bench.report(&mut bench.command(&["--no-send"]));
    assert_eq!((code, &report.0["verdict"]), (0, &json!("warning")));
    report.assert(
        "max-file",
        "warning",
        "max-size=1048576, max-file=1",
        "max-file=5",
    );
    report.assert("--rm", "warning", "AutoRemove", "without --rm");
    report.assert("log driver", "warning", "local", "json-file");
    report.assert("description", "warning", "config.v2.json", "restart");
    for (check, subject) in [
        ("max-file", "single"),
        ("--rm", "brief"),
        ("log driver", "silent"),
        ("description", &id[..12]),
    ] {
        assert_eq!(report.finding(check)["subject"], subject);
    }
    assert_eq!(report.0["warnings"], 4, "{:#}", report.0);
}

#[test]
fn a_host_that_is_called_like_a_container_is_a_warning() {
    let bench = Bench::new();
    bench.log("web", Rotation::NONE);
    let mut command = bench.command(&["--no-send"]);
    command.env("PLATFORM_AGENT_SOURCE__HOST", "0123456789ab");
    let (code, report) = bench.report(&mut command);
    assert_eq!(code, 0);
    report.assert("host name", "warning", "source.host", "set source.host");
}

#[test]
fn a_running_agent_is_told_and_not_disturbed() {
    let mut bench = Bench::new();
    let mut log = bench.log("web", Rotation::NONE);
    log.say("before").unwrap();
    bench.harness.start_agent();
    bench.harness.assert_arrived("web", &["before".to_owned()]);
    let (code, report) = bench.report(&mut bench.command(&["--no-send"]));
    assert_eq!(code, 0, "{:#}", report.0);
    let folder = report.findings("state folder");
    assert!(
        folder
            .iter()
            .any(|finding| finding["what"] == "an agent runs on it")
    );
    log.say("after").unwrap();
    let lines = ["after".to_owned(), "before".to_owned()];
    bench.harness.assert_arrived("web", &lines);
    bench.harness.terminate_agent();
    // The one that stopped has left a checkpoint.
    let (_, report) = bench.report(&mut bench.command(&["--no-send"]));
    report.assert("checkpoint", "ok", "knows 1 containers", "");
    assert_eq!(report.0["first_start"], Value::Null);
}

/// What `check` prints on a terminal.
fn on_a_terminal(bench: &Bench, variable: Option<(&str, &str)>) -> String {
    let config = bench.harness.config();
    let line = format!("{BINARY} check --no-send --config {}", config.display());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.env_remove("NO_COLOR").envs(variable);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn colours_are_for_terminals_and_no_color_turns_them_off() {
    let bench = Bench::new();
    bench.log("web", Rotation::NONE);
    let piped = bench.command(&["--no-send"]).output().unwrap();
    assert!(!String::from_utf8(piped.stdout).unwrap().contains('\x1b'));
    let coloured = on_a_terminal(&bench, None);
    assert!(coloured.contains("\x1b[32mok"), "{coloured}");
    let plain = on_a_terminal(&bench, Some(("NO_COLOR", "1")));
    assert!(
        plain.contains("ready to run") && !plain.contains('\x1b'),
        "{plain}"
    );
}
