//! What `backup schedule` changes outside of the root, and in what it found there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde::Serialize;

use crate::backup::schedule::Schedule;
use crate::backup::schedule::unit::{FILES, Starter, TIMER, WANTED};
use crate::crontab;
use crate::failure::Failure;
use crate::file::{self, Access};
use crate::plan::{Action, Effect, Plan};
use crate::root::Root;
use crate::session::Session;

/// The second line of the script that stands in for the manual's.
const SHIM_MARK: &str = "# Stands in for the manual's backup script";
/// What the manual's script is called while the shim stands in for it.
const KEPT: &str = "backup.sh.before-platform-ops";

/// The host's file system: `/`, or that of an image.
#[derive(Clone, Debug)]
pub struct Host(pub PathBuf);

impl Host {
    /// Where a file of the host is.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.0.join(absolute.trim_start_matches('/'))
    }

    fn is_this(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Whether systemd runs, or will when an image is started.
    pub fn has_systemd(&self) -> bool {
        !self.is_this() || Path::new("/run/systemd/system").is_dir()
    }

    /// What starts backups here.
    pub fn starters(&self) -> Vec<Starter> {
        let there = |path| std::fs::symlink_metadata(self.path(path)).is_ok();
        let timer = there(WANTED).then_some(Starter::Systemd);
        let cron = there(FILES[2].path).then_some(Starter::Cron);
        timer.into_iter().chain(cron).collect()
    }
}

/// One change.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Change {
    /// Writes a file: a master, its copy, a crontab.
    Write {
        /// Where.
        path: PathBuf,
        /// Whether there is one.
        exists: bool,
        /// Its bits; of a file that is there they stay.
        mode: u32,
        /// What for.
        what: &'static str,
        /// What it will hold.
        #[serde(skip)]
        content: String,
    },
    /// Deletes a file that `install` made.
    Delete {
        /// Where.
        path: PathBuf,
    },
    /// Gives a file another name.
    Rename {
        /// Its name.
        from: PathBuf,
        /// The new one.
        to: PathBuf,
    },
    /// `systemctl enable` or `disable`.
    Timer {
        /// Which of both.
        enable: bool,
        /// Whether it is this host, whose systemd runs.
        now: bool,
        /// The file system.
        host: PathBuf,
    },
}

impl Action for Change {
    fn summary(&self) -> String {
        match self {
            Self::Write { path, what, .. } => format!("write {} ({what})", path.display()),
            Self::Delete { path } => format!("delete {}", path.display()),
            Self::Rename { from, to } => {
                format!("keep {} as {}", from.display(), to.display())
            }
            Self::Timer { enable, .. } => {
                format!("{} {TIMER}", if *enable { "enable" } else { "disable" })
            }
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Write { exists: false, .. } => Effect::Create,
            Self::Timer { enable: true, .. } => Effect::Start,
            Self::Timer { enable: false, .. } => Effect::Stop,
            _ => Effect::Change,
        }
    }

    async fn apply(&self, _: &Session) -> anyhow::Result<()> {
        match self {
            Self::Write {
                path,
                mode,
                content,
                ..
            } => {
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder)
                        .with_context(|| format!("make {}", folder.display()))?;
                }
                let access = Access::read(path).unwrap_or(Access::root(*mode));
                file::replace(path, content.as_bytes(), access)
            }
            Self::Delete { path } => match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("delete {}", path.display()))
                }
                _ => Ok(()),
            },
            Self::Rename { from, to } => std::fs::rename(from, to)
                .with_context(|| format!("rename {} to {}", from.display(), to.display())),
            Self::Timer { enable, now, host } => systemctl(*enable, *now, host),
        }
    }
}

fn systemctl(enable: bool, now: bool, host: &Path) -> anyhow::Result<()> {
    let verb = if enable { "enable" } else { "disable" };
    let run = |arguments: &[&str]| {
        let mut command = Command::new("systemctl");
        if !now {
            command.arg(format!("--root={}", host.display()));
        }
        let output = command.args(arguments).output().context("run systemctl")?;
        anyhow::ensure!(
            output.status.success(),
            "systemctl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    };
    if now {
        run(&["daemon-reload"])?;
        return run(&[verb, "--now", TIMER]);
    }
    run(&[verb, TIMER])
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        text => text
            .map(Some)
            .with_context(|| format!("read {}", path.display())),
    }
}

fn write(path: PathBuf, exists: bool, mode: u32, what: &'static str, content: String) -> Change {
    Change::Write {
        path,
        exists,
        mode,
        what,
        content,
    }
}

/// A plan to have `starter` start backups, and nothing else.
///
/// # Errors
/// When a file of ours was changed by hand, or a crontab starts the manual's script and
/// `replace_cron` is not asked for.
pub fn install(
    root: &Root,
    schedule: &Schedule,
    host: &Host,
    starter: Starter,
    replace_cron: bool,
) -> anyhow::Result<Plan<Change>> {
    let mut plan = Plan::new("backup schedule install");
    let lines = crontab::backup_lines(&host.0);
    if !lines.is_empty() && !replace_cron {
        let named: Vec<String> = lines
            .iter()
            .map(|line| format!("{}: {}", line.file.display(), line.text))
            .collect();
        let what = format!(
            "cron starts the manual's script as well: {}",
            named.join("; ")
        );
        return Err(Failure::refused(what)
            .try_next("--replace-cron makes these lines comments, and `remove` brings them back")
            .into());
    }
    let wanted = starter.wanted(schedule, root);
    // First what ends, so that at no moment both start.
    let mut files: Vec<_> = lines.into_iter().map(|line| line.file).collect();
    files.dedup();
    for file in files {
        let text = read(&file)?.unwrap_or_default();
        let content = crontab::take_out(&text);
        plan.push(write(
            file,
            true,
            0o600,
            "the script's lines become comments",
            content,
        ));
    }
    for (file, wanted) in FILES.iter().zip(&wanted) {
        if wanted.is_none() {
            take_away(&mut plan, root, host, file.path)?;
        }
    }
    let mut changed = false;
    for (file, wanted) in FILES.iter().zip(wanted) {
        let Some(wanted) = wanted else { continue };
        let (path, master) = (host.path(file.path), file.master(root));
        let (there, known) = (read(&path)?, read(&master)?);
        require_ours(&path, there.as_deref(), known.as_deref(), Some(&wanted))?;
        if known.as_deref() != Some(&wanted) {
            let content = wanted.clone();
            plan.push(write(master, known.is_some(), 0o644, "the master", content));
        }
        if there.as_deref() != Some(&wanted) {
            changed = true;
            plan.push(write(
                path,
                there.is_some(),
                0o644,
                "what the host reads",
                wanted,
            ));
        }
    }
    let is_on = host.starters().contains(&Starter::Systemd);
    if starter == Starter::Systemd && (changed || !is_on) {
        plan.push(timer(host, true));
    }
    shim(&mut plan, root)?;
    Ok(plan)
}

/// A plan to have nothing start backups, and to bring back what was there before.
///
/// # Errors
/// When a file of ours was changed by hand.
pub fn remove(root: &Root, host: &Host) -> anyhow::Result<Plan<Change>> {
    let mut plan = Plan::new("backup schedule remove");
    for file in &FILES {
        take_away(&mut plan, root, host, file.path)?;
    }
    let script = root.apps().join("backup.sh");
    let kept = root.apps().join(KEPT);
    let is_shim = read(&script)?.is_some_and(|text| text.contains(SHIM_MARK));
    if is_shim && kept.exists() {
        plan.push(Change::Rename {
            from: kept,
            to: script,
        });
    }
    let mut files: Vec<_> = crontab::taken_out(&host.0)
        .into_iter()
        .map(|line| line.file)
        .collect();
    files.dedup();
    for file in files {
        let text = read(&file)?.unwrap_or_default();
        let content = crontab::put_back(&text);
        plan.push(write(
            file,
            true,
            0o600,
            "the script's lines come back",
            content,
        ));
    }
    plan.note(
        "nothing else starts backups: `platform-ops status` will say how old the last one is",
    );
    Ok(plan)
}

fn timer(host: &Host, enable: bool) -> Change {
    Change::Timer {
        enable,
        now: host.is_this(),
        host: host.0.clone(),
    }
}

/// A file that is there and is neither the master nor what is wanted is somebody's work.
fn require_ours(
    path: &Path,
    there: Option<&str>,
    master: Option<&str>,
    wanted: Option<&str>,
) -> anyhow::Result<()> {
    if there.is_none() || there == master || there == wanted {
        return Ok(());
    }
    let what = format!("{} was changed by hand, or is another's", path.display());
    Err(Failure::refused(what)
        .try_next("move it away; extra settings belong into a drop-in folder beside it")
        .into())
}

fn take_away(plan: &mut Plan<Change>, root: &Root, host: &Host, path: &str) -> anyhow::Result<()> {
    let Some(file) = FILES.iter().find(|file| file.path == path) else {
        return Ok(());
    };
    let (path, master) = (host.path(file.path), file.master(root));
    let (there, known) = (read(&path)?, read(&master)?);
    if known.is_none() {
        // Not ours.
        return Ok(());
    }
    require_ours(&path, there.as_deref(), known.as_deref(), None)?;
    let is_timer = path.ends_with(TIMER);
    if is_timer && host.starters().contains(&Starter::Systemd) {
        plan.push(timer(host, false));
    }
    if there.is_some() {
        plan.push(Change::Delete { path });
    }
    plan.push(Change::Delete { path: master });
    Ok(())
}

/// The manual's script stays a command that works, and its exit code means the same.
fn shim(plan: &mut Plan<Change>, root: &Root) -> anyhow::Result<()> {
    let script = root.apps().join("backup.sh");
    let wanted = shim_text(root);
    let there = read(&script)?;
    if there.as_deref() == Some(&wanted) {
        return Ok(());
    }
    let is_ours = there.as_ref().is_some_and(|text| text.contains(SHIM_MARK));
    let kept = root.apps().join(KEPT);
    // A run that was killed between the two steps has kept it already.
    let Some(_) = there.as_ref().map(drop).or(kept.exists().then_some(())) else {
        return Ok(());
    };
    if there.is_some() && !is_ours {
        if kept.exists() {
            let what = format!("{} and {} are both there", script.display(), kept.display());
            return Err(Failure::refused(what)
                .try_next("keep the right one as backup.sh, move the other away")
                .into());
        }
        plan.push(Change::Rename {
            from: script.clone(),
            to: kept,
        });
    }
    let what = "stands in for the manual's script";
    plan.push(write(script, is_ours, 0o755, what, wanted));
    Ok(())
}

fn shim_text(root: &Root) -> String {
    format!(
        "#!/bin/sh\n\
         {SHIM_MARK}, which is kept as {KEPT}.\n\
         # 0: a proven backup is in its place. Anything else: there is none.\n\
         /usr/local/bin/platform-ops --root '{}' backup create \"$@\"\n\
         code=$?\n\
         # Made, with warnings.\n\
         [ \"$code\" -eq 3 ] && code=0\n\
         exit \"$code\"\n",
        root.path().display()
    )
}
