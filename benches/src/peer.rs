//! Other log shippers, with configurations kept in `benches/peers`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::agent::Setup;
use crate::process::Program;
use crate::sink::Sink;

/// A program to compare with.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name in results.
    pub name: &'static str,
    program: PathBuf,
    /// Unpacked here and not installed.
    root: Option<PathBuf>,
}

struct Kind {
    name: &'static str,
    program: &'static str,
    files: &'static [(&'static str, &'static str)],
    arguments: &'static [&'static str],
}

const KINDS: [Kind; 5] = [
    Kind {
        name: "syslog-ng",
        program: "syslog-ng",
        files: &[("syslog-ng.conf", include_str!("../peers/syslog-ng.conf"))],
        arguments: &[
            "--foreground",
            "--no-caps",
            "--stderr",
            "--cfgfile",
            "{{state}}/syslog-ng.conf",
            "--persist-file",
            "{{state}}/persist",
            "--control",
            "{{state}}/control",
            "--pidfile",
            "{{state}}/pid",
        ],
    },
    Kind {
        name: "rsyslog",
        program: "rsyslogd",
        files: &[("rsyslog.conf", include_str!("../peers/rsyslog.conf"))],
        arguments: &["-n", "-i", "{{state}}/pid", "-f", "{{state}}/rsyslog.conf"],
    },
    Kind {
        name: "fluent-bit",
        program: "fluent-bit",
        files: &[
            ("fluent-bit.yaml", include_str!("../peers/fluent-bit.yaml")),
            (
                "parsers.conf",
                include_str!("../peers/fluent-bit-parsers.conf"),
            ),
        ],
        arguments: &["--config", "{{state}}/fluent-bit.yaml"],
    },
    Kind {
        name: "vector",
        program: "vector",
        files: &[("vector.yaml", include_str!("../peers/vector.yaml"))],
        arguments: &["--quiet", "--config", "{{state}}/vector.yaml"],
    },
    Kind {
        name: "fluentd",
        program: "fluentd",
        files: &[("fluentd.conf", include_str!("../peers/fluentd.conf"))],
        arguments: &["--no-supervisor", "--config", "{{state}}/fluentd.conf"],
    },
];

/// The yardstick, from where `scripts/bench-yardstick` has put it.
const YARDSTICK: &str = "syslog-ng";

/// All that are to be found; the yardstick first.
pub fn found(target: &Path) -> Vec<Peer> {
    KINDS.iter().filter_map(|kind| find(kind, target)).collect()
}

fn find(kind: &Kind, target: &Path) -> Option<Peer> {
    if kind.name == YARDSTICK {
        let root = target.join("bench/syslog-ng");
        let program = root.join("usr/sbin/syslog-ng");
        if program.exists() {
            return Some(Peer {
                name: kind.name,
                program,
                root: Some(root),
            });
        }
    }
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|dir| dir.join(kind.program));
    let program = places.find(|place| place.exists())?;
    Some(Peer {
        name: kind.name,
        program,
        root: None,
    })
}

impl Peer {
    /// Starts it over this folder of containers.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, setup: &Setup, containers: &Path, sink: &Sink) -> anyhow::Result<Program> {
        let state = setup.fresh(self.name)?;
        let kind = KINDS.iter().find(|kind| kind.name == self.name);
        let kind = kind.ok_or_else(|| anyhow::anyhow!("no such peer"))?;
        let fill = |text: &str| {
            text.replace("{{state}}", &state.to_string_lossy())
                .replace("{{containers}}", &containers.to_string_lossy())
                .replace("{{url}}", &format!("{}/push", sink.url()))
                .replace("{{port}}", &sink.address().port().to_string())
        };
        for (name, text) in kind.files {
            fs::write(state.join(name), fill(text))?;
        }
        let mut command = Command::new(&self.program);
        command.args(kind.arguments.iter().map(|argument| fill(argument)));
        if let Some(root) = &self.root {
            self.run_from(&mut command, root)?;
        }
        Ok(Program::start(
            self.name,
            &mut command,
            &setup.log(self.name),
        )?)
    }

    /// Its libraries and modules stand beside it.
    fn run_from(&self, command: &mut Command, root: &Path) -> anyhow::Result<()> {
        let lib = root.join("usr/lib");
        let modules = subfolders(&lib.join("syslog-ng"))?.pop();
        let modules = modules.ok_or_else(|| anyhow::anyhow!("no modules in {}", lib.display()))?;
        command.arg("--module-path").arg(modules);
        let mut libraries = subfolders(&lib)?;
        libraries.extend(subfolders(&root.join("lib")).unwrap_or_default());
        command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries)?);
        Ok(())
    }

    /// The version it says it has.
    pub fn version(&self) -> String {
        let mut command = Command::new(&self.program);
        command.arg("--version");
        if let Some(root) = &self.root {
            let _ = self.run_from(&mut command, root);
        }
        let output = command
            .output()
            .map(|output| output.stdout)
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&output);
        text.lines().next().unwrap_or_default().trim().to_owned()
    }
}

fn subfolders(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}
