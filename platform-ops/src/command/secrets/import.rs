//! `secrets import`: secrets out of an env file into platform.env.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::environment::{Environment, is_secret};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file::Access;
use crate::hygiene::{self, Fault};
use crate::plan::{Consent, Plan};
use crate::rotation::Journal;
use crate::session::Session;
use crate::stack::Action;

/// More is no env file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Arguments of `secrets import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops secrets import /srv/apps/trading-app/.env --dry-run
  platform-ops secrets import /srv/apps/trading-app/.env
  age --decrypt secrets.env.age | platform-ops secrets import

The file is read as Compose reads it. Only secrets are taken, by the names of their keys; the others
are named. Each is looked at as `secrets check` does, and nothing is written while one of them is
weak, a placeholder, in use under another key, or changed by Compose ($). A file has to be its
owner's alone (600). Values are never printed. What is set already to another value is replaced
after you agreed (--yes); a server learns of it by `secrets rotate` only.")]
pub struct Arguments {
    /// An env file; stdin without one
    file: Option<PathBuf>,
}

/// Carries it out.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("secrets import")?;
    Journal::refuse_unfinished(session)?;
    let (name, text) = read(arguments.file.as_deref())?;
    let source =
        Environment::parse(&text).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
    let before = Environment::load(session)?;
    let mut after = before.clone();
    let (mut keys, mut replaced, mut passed_over) = (Vec::new(), Vec::new(), Vec::new());
    for (key, value) in source.values() {
        if !is_secret(key) {
            passed_over.push(key.as_str());
            continue;
        }
        session.redactor.learn(value);
        if before.values().get(key) != Some(value) {
            if before.get(key).is_some() {
                replaced.push(key.as_str());
            }
            after = after.with(key, value)?;
            keys.push(key.clone());
        }
    }
    refuse_faults(&name, &source, &after, &keys)?;
    let mut plan = Plan::new("secrets import");
    if !replaced.is_empty() {
        plan.require(Consent::Yes);
        plan.note(format!(
            "{} had other values: what a server knows already it keeps until platform-ops secrets rotate",
            replaced.join(", ")
        ));
    }
    if !passed_over.is_empty() {
        plan.note(format!(
            "not taken, for they are no secrets: {}",
            passed_over.join(", ")
        ));
    }
    if !keys.is_empty() {
        plan.push(Action::Environment {
            path: session.root.platform_env(),
            exists: true,
            keys,
            environment: after,
        });
        plan.note("next: platform-ops up --dry-run");
    }
    plan.carry_out(session).await
}

/// Its name for people, and what it holds.
fn read(path: Option<&Path>) -> anyhow::Result<(String, String)> {
    let Some(path) = path else {
        return Ok(("stdin".to_owned(), read_all(std::io::stdin(), "stdin")?));
    };
    let name = path.display().to_string();
    let failed = || format!("read {name}");
    let access = Access::read(path).with_context(failed)?;
    if access.mode & 0o077 != 0 {
        let what = format!(
            "{name} may be read by others ({}): its secrets are known",
            access.text()
        );
        return Err(Failure::refused(what)
            .try_next(format!(
                "chmod 600 {name}; better, new secrets: platform-ops secrets set KEY --generate"
            ))
            .into());
    }
    let file = std::fs::File::open(path).with_context(failed)?;
    let text = read_all(file, &name)?;
    Ok((name, text))
}

fn read_all(source: impl Read, name: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    source
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("read {name}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("{name} is longer than {FILE_BYTES_MAX} bytes")).into());
    }
    Ok(text)
}

/// As `secrets check`; a `$` shows in the file it comes from only.
fn refuse_faults(
    name: &str,
    source: &Environment,
    after: &Environment,
    keys: &[String],
) -> anyhow::Result<()> {
    let found = hygiene::faults(after);
    let interpolated = |key: &str| {
        let entry = source.entries().iter().rfind(|entry| entry.key == key);
        entry.is_some_and(|entry| entry.literal.is_some())
    };
    let mut lines = Vec::new();
    for key in keys {
        let faults = found.get(key).into_iter().flatten();
        let mut texts: Vec<&str> = faults
            .filter(|fault| **fault != Fault::UnsafeCharacter)
            .map(|fault| fault.text())
            .collect();
        if interpolated(key) {
            texts.push(Fault::Interpolated.text());
        }
        if !texts.is_empty() {
            lines.push(format!("{key} {}", texts.join(", ")));
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!("{name}: {}; nothing was written", lines.join("; ")))
        .try_next("take them out of the file and: platform-ops secrets set KEY --generate; a $ goes into single quotes")
        .into())
}
