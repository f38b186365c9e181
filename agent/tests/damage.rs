//! A checkpoint that the disk or a person damaged: the one before it is used, or logs are read as
//! at the very first start; both said out loud.

#![allow(clippy::unwrap_used)]

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fixtures::docker_log::{DockerLog, Rotation};
use fixtures::wait;
use tempfile::TempDir;

use harness::Harness;

/// A save is due every second.
const SAVED_MAX: Duration = Duration::from_secs(60);

struct Scene {
    harness: Harness,
    log: DockerLog,
    written: Vec<String>,
    _containers: TempDir,
}

impl Scene {
    /// An agent that has shipped some lines, saved twice, and ended.
    fn after_a_run() -> Self {
        let containers = tempfile::tempdir().unwrap();
        let harness = Harness::new(containers.path(), &["*"]);
        let log = DockerLog::create(containers.path(), "web", Rotation::NONE).unwrap();
        let mut scene = Self {
            harness,
            log,
            written: Vec::new(),
            _containers: containers,
        };
        scene.harness.start_agent();
        for part in ["first", "second"] {
            scene.say(part);
            let before = fs::read(scene.file("checkpoint")).ok();
            scene.arrived();
            wait::until("a checkpoint", SAVED_MAX, || {
                let now = fs::read(scene.file("checkpoint")).ok();
                Ok((now.is_some() && now != before).then_some(()))
            })
            .unwrap();
        }
        scene.harness.terminate_agent();
        assert!(scene.file("checkpoint.previous").exists());
        scene
    }

    fn file(&self, name: &str) -> PathBuf {
        self.harness.dir().join("state").join(name)
    }

    fn say(&mut self, part: &str) {
        for n in 0..20 {
            let line = format!("{part} {n:02}");
            self.log.say(&line).unwrap();
            self.written.push(line);
        }
        self.written.sort();
    }

    /// All that was written is there, each line under one id.
    fn arrived(&mut self) {
        self.harness.assert_arrived("web", &self.written);
    }
}

/// As a power failure on a file system without order leaves a file: its length, and zeros.
fn damage(path: &Path) {
    let len = fs::metadata(path).unwrap().len() as usize;
    fs::write(path, vec![0; len]).unwrap();
}

#[test]
fn t51_t52_of_a_damaged_checkpoint_the_one_before_is_used() {
    let mut scene = Scene::after_a_run();
    damage(&scene.file("checkpoint"));
    scene.say("third");
    scene.harness.start_agent();
    scene.arrived();
    scene.harness.terminate_agent();
    let log = scene.harness.agent_log();
    assert!(log.contains("checkpoint is damaged"), "{log}");
    assert!(
        log.contains("going on from the previous checkpoint"),
        "{log}"
    );
    assert!(
        scene.file("checkpoint.damaged").exists(),
        "it is kept for people"
    );
}

#[test]
fn t52_with_both_checkpoints_damaged_logs_are_read_from_the_start_and_it_is_said() {
    let mut scene = Scene::after_a_run();
    damage(&scene.file("checkpoint"));
    fs::write(scene.file("checkpoint.previous"), b"").unwrap();
    scene.say("third");
    scene.harness.start_agent();
    // Whole lines have the same ids for an agent that lost its state: nothing is there twice.
    scene.arrived();
    scene.harness.terminate_agent();
    let log = scene.harness.agent_log();
    assert_eq!(log.matches("checkpoint is damaged").count(), 2, "{log}");
    assert!(log.contains("no checkpoint: the very first start"), "{log}");
}
