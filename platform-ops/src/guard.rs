//! What must not outlive a run that is killed: a pooler that pauses, containers of a drill, a service
//! that was stopped. A child process of its own session waits for the end of the run and does then
//! what the run could not do any more. It has inherited the lock, so the next run waits for it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Something that is to be done if the run does not come to do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Let the pooler's clients of this database go on.
    Resume(String),
    /// Let all of them go on.
    ResumeAll,
    /// Let the pooler log in with the password that the database takes, and all its clients go on.
    Settle,
    /// Remove the throw-away containers of this run.
    Remove(String),
    /// Start this container.
    Start(String),
}

/// This program, also where its file was replaced or removed since it was started.
const PROGRAM: &str = "/proc/self/exe";

/// What a run tells its guard, a line of JSON each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// From now on, under this number.
    Hold(u64, Duty),
    /// It was done.
    Done(u64),
}

/// The run's side. The child is started with the first duty.
#[derive(Clone, Debug)]
pub struct Guard {
    root: PathBuf,
    running: Arc<Mutex<Option<Running>>>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    words: ChildStdin,
    last: u64,
}

/// A duty that the guard has. Dropped without [`Held::done`] it stays the guard's.
#[derive(Debug)]
#[must_use]
pub struct Held {
    guard: Guard,
    number: u64,
}

impl Guard {
    /// For a run under this root; starts nothing yet.
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            running: Arc::default(),
        }
    }

    /// Has the guard do this, should the run end before [`Held::done`].
    ///
    /// # Errors
    /// When no process can be started: then nothing must be begun.
    pub fn hold(&self, duty: Duty) -> anyhow::Result<Held> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            *running = Some(self.start()?);
        }
        let running = running.as_mut().context("the guard is gone")?;
        running.last += 1;
        let number = running.last;
        running.say(&Word::Hold(number, duty))?;
        Ok(Held {
            guard: self.clone(),
            number,
        })
    }

    fn start(&self) -> anyhow::Result<Running> {
        let mut child = Command::new(PROGRAM)
            .arg0("platform-ops")
            .arg("--root")
            .arg(&self.root)
            .arg("guard")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start the guard of this run")?;
        let words = child.stdin.take().context("start the guard of this run")?;
        Ok(Running {
            child,
            words,
            last: 0,
        })
    }
}

impl Running {
    fn say(&mut self, word: &Word) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(word)?;
        line.push(b'\n');
        // Whole: a pipe takes so few bytes at once.
        let said = self.words.write_all(&line);
        said.with_context(|| format!("tell the guard of this run, process {}", self.child.id()))
    }
}

impl Held {
    /// The run has done it.
    pub fn done(self) {
        let mut running = self
            .guard
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = running.as_mut() {
            // A guard that is gone does nothing either.
            let _ = running.say(&Word::Done(self.number));
        }
    }
}

/// What is left to do at the end of these lines, the last first.
pub fn left(lines: impl Iterator<Item = String>) -> Vec<Duty> {
    let mut duties = BTreeMap::new();
    for line in lines {
        match serde_json::from_str(&line) {
            Ok(Word::Hold(number, duty)) => drop(duties.insert(number, duty)),
            Ok(Word::Done(number)) => drop(duties.remove(&number)),
            // A line that was cut by the end.
            Err(_) => {}
        }
    }
    duties.into_values().rev().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_not_done_is_left_the_last_first() {
        let words = [
            Word::Hold(1, Duty::Remove("a".to_owned())),
            Word::Hold(2, Duty::Resume("db".to_owned())),
            Word::Hold(3, Duty::Start("redis".to_owned())),
            Word::Done(2),
        ];
        let mut lines: Vec<String> = words
            .iter()
            .map(|word| serde_json::to_string(word).unwrap())
            .collect();
        lines.push("{\"hold\":[4,{\"res".to_owned());
        let wanted = [
            Duty::Start("redis".to_owned()),
            Duty::Remove("a".to_owned()),
        ];
        assert_eq!(left(lines.into_iter()), wanted);
    }
}
