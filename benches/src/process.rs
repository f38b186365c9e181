//! Programs under test, and what the kernel says that they cost.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A program is killed when it takes longer than this to end.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// A child process. One runs at a time: its CPU is what all ended children took together.
pub struct Program {
    name: String,
    child: Child,
    began: Instant,
    before: Cpu,
}

/// CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cpu {
    /// Seconds in user mode.
    pub user: f64,
    /// Seconds in the kernel.
    pub system: f64,
}

impl Cpu {
    /// Both, seconds.
    pub fn total(self) -> f64 {
        self.user + self.system
    }

    fn of_children() -> io::Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let seconds =
            |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        Ok(Self {
            user: seconds(usage.user_time()),
            system: seconds(usage.system_time()),
        })
    }
}

/// What a program took from its start to its end.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// CPU time of all its threads.
    pub cpu: Cpu,
    /// Most memory it had (`VmHWM`), bytes; 0 when it ended by itself.
    pub rss_max_bytes: u64,
    /// From start to end.
    pub wall: Duration,
}

impl Program {
    /// Starts it; what it prints goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> io::Result<Self> {
        let before = Cpu::of_children()?;
        let log = fs::File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            began: Instant::now(),
            before,
        })
    }

    /// CPU seconds so far, to the nanosecond, of the threads that live.
    ///
    /// # Errors
    /// When it has ended, or the kernel keeps no such account.
    pub fn cpu_now(&self) -> io::Result<f64> {
        let mut nanoseconds = 0u64;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let spent = text.split(' ').next().unwrap_or_default();
            nanoseconds += spent.parse::<u64>().map_err(io::Error::other)?;
        }
        Ok(nanoseconds as f64 / 1e9)
    }

    /// Bytes of memory, now (`VmRSS`) or at most (`VmHWM`).
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self, field: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kibibytes =
            line.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kibibytes
            .map(|value| value * 1024)
            .ok_or_else(|| self.ended())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        Ok(kill(Pid::from_raw(pid), signal)?)
    }

    /// An error if it has ended, which it should not by itself.
    ///
    /// # Errors
    /// That.
    pub fn check(&mut self) -> io::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(io::Error::other(format!("{} ended: {status}", self.name))),
        }
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// When it has ended before, or does not end.
    pub fn stop(mut self) -> io::Result<Spent> {
        self.check()?;
        let rss_max_bytes = self.memory("VmHWM")?;
        self.signal(Signal::SIGTERM)?;
        let until = Instant::now() + END_PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                self.child.kill()?;
                self.child.wait()?;
                return Err(io::Error::other(format!(
                    "{} did not end after SIGTERM",
                    self.name
                )));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.spent(rss_max_bytes)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it fails.
    pub fn join(mut self) -> io::Result<Spent> {
        let status = self.child.wait()?;
        if !status.success() {
            return Err(io::Error::other(format!("{}: {status}", self.name)));
        }
        self.spent(0)
    }

    fn spent(&self, rss_max_bytes: u64) -> io::Result<Spent> {
        let after = Cpu::of_children()?;
        let cpu = Cpu {
            user: after.user - self.before.user,
            system: after.system - self.before.system,
        };
        Ok(Spent {
            cpu,
            rss_max_bytes,
            wall: self.began.elapsed(),
        })
    }

    fn ended(&self) -> io::Error {
        io::Error::other(format!("{} has ended", self.name))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
