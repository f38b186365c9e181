//! What was measured where, for the record.

use std::fs;
use std::process::Command;

use serde::Serialize;

/// Machine and source of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The CPU's name.
    pub cpu: String,
    /// CPUs online.
    pub cpus: usize,
    /// Architecture.
    pub arch: &'static str,
    /// The CPU's extensions that signing and TLS gain by.
    pub extensions: Vec<&'static str>,
    /// Kernel release.
    pub kernel: String,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// The source that was built, with `-dirty` when it is not as committed.
    pub commit: String,
    /// When, UTC.
    pub date: String,
    /// How.
    pub command: String,
}

impl Machine {
    /// This one, now.
    pub fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let flags = field("flags")
            .or_else(|| field("Features"))
            .unwrap_or_default();
        let wanted = ["sha_ni", "aes", "avx2", "vaes", "sha2", "asimd"];
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = memory
            .split_whitespace()
            .nth(1)
            .and_then(|it| it.parse::<u64>().ok());
        Self {
            cpu: field("model name").unwrap_or_else(|| "unknown".to_owned()),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            arch: std::env::consts::ARCH,
            extensions: wanted
                .into_iter()
                .filter(|it| flags.split(' ').any(|flag| flag == *it))
                .collect(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            memory_bytes: memory.unwrap_or(0) * 1024,
            commit: commit(),
            date: jiff::Timestamp::now()
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string(),
            command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        }
    }
}

fn commit() -> String {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}
