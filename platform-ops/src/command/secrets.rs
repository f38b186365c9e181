//! `secrets`: what platform.env holds and how good it is; no value is ever printed.

mod import;
mod rotate;

use std::io::{IsTerminal, Read};

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde::Serialize;

use crate::environment::{Environment, is_secret};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file::Access;
use crate::hygiene::{self, Fault};
use crate::plan::{Consent, Plan};
use crate::rotation::Journal;
use crate::secret;
use crate::session::Session;
use crate::stack::Action;

/// More is no secret but a file.
const VALUE_BYTES_MAX: u64 = 4096;

/// Arguments of `secrets`.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What to do with secrets.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The keys, and what is wrong with each; never a value
    List,
    /// Fail if a secret is weak, a placeholder or used twice, or platform.env is open to others
    #[command(after_help = "Exit codes: 0 all is well, 4 something is not.")]
    Check,
    /// Write one secret into platform.env
    #[command(after_help = "\
Examples:
  platform-ops secrets set TRADING_APP_DB_PASSWORD --generate
  platform-ops secrets set SMTP_PASSWORD < file
  platform-ops secrets set SMTP_PASSWORD            asks, without echo

It never takes the value as an argument: those are seen by every user of the host. Only platform.env
is changed: what a server knows already it keeps until `secrets rotate`.")]
    Set {
        /// The key
        key: String,
        /// Make a new random value
        #[arg(long)]
        generate: bool,
    },
    /// Take secrets out of an env file or stdin into platform.env
    Import(import::Arguments),
    /// Give a role, Redis or PgBouncer's console a new secret, and its applications, too
    Rotate(rotate::Arguments),
}

/// A secret, without its value.
#[derive(Debug, Serialize)]
struct Secret {
    key: String,
    line: usize,
    faults: Vec<Fault>,
}

/// Carries it out.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::List => list(session),
        Command::Check => check(session),
        Command::Set { key, generate } => set(session, key, *generate).await,
        Command::Import(arguments) => import::run(session, arguments).await,
        Command::Rotate(arguments) => rotate::run(session, arguments).await,
    }
}

fn secrets(environment: &Environment) -> Vec<Secret> {
    let mut faults = hygiene::faults(environment);
    let mut secrets = Vec::new();
    for key in environment.values().keys().filter(|key| is_secret(key)) {
        let line = environment
            .entries()
            .iter()
            .rfind(|entry| entry.key == *key)
            .map_or(0, |entry| entry.line);
        secrets.push(Secret {
            key: key.clone(),
            line,
            faults: faults.remove(key).unwrap_or_default(),
        });
    }
    secrets
}

fn text(secret: &Secret) -> String {
    let faults: Vec<&str> = secret.faults.iter().map(|fault| fault.text()).collect();
    let faults = if faults.is_empty() {
        "ok".to_owned()
    } else {
        faults.join(", ")
    };
    format!("{:<32} {faults}\n", secret.key)
}

fn list(session: &Session) -> anyhow::Result<Exit> {
    let secrets = secrets(&Environment::load(session)?);
    session
        .output
        .result("secrets", &serde_json::json!({"secrets": secrets}), || {
            secrets.iter().map(text).collect()
        });
    Ok(Exit::OK)
}

fn check(session: &Session) -> anyhow::Result<Exit> {
    let path = session.root.platform_env();
    let environment = Environment::load(session)?;
    let access = Access::read(&path).with_context(|| format!("look at {}", path.display()))?;
    let is_private = access == Environment::ACCESS;
    let bad: Vec<Secret> = secrets(&environment)
        .into_iter()
        .filter(|secret| !secret.faults.is_empty())
        .collect();
    let body = serde_json::json!({"access": access, "access_ok": is_private, "secrets": bad});
    session.output.result("secrets_check", &body, || {
        let mut lines: String = bad.iter().map(text).collect();
        if !is_private {
            lines += &format!(
                "{}: {} instead of {}\n",
                path.display(),
                access.text(),
                Environment::ACCESS.text()
            );
        }
        if lines.is_empty() {
            "all secrets are well".to_owned()
        } else {
            lines
        }
    });
    Ok(if is_private && bad.is_empty() {
        Exit::OK
    } else {
        Exit::REFUSED
    })
}

async fn set(session: &Session, key: &str, generate: bool) -> anyhow::Result<Exit> {
    let _lock = session.lock("secrets set")?;
    Journal::refuse_unfinished(session)?;
    let mut chars = key.chars();
    let is_key = chars.next().is_some_and(|c| c.is_ascii_uppercase())
        && chars.all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    if !is_key {
        return Err(
            Failure::usage(format!("{key} is no key: capital letters, digits and _")).into(),
        );
    }
    let environment = Environment::load(session)?;
    // With a dry run nothing is asked; the plan does not depend on the value.
    let value = if generate || session.options.dry_run {
        secret::generate()?
    } else {
        read(session, key)?
    };
    session.redactor.learn(&value);
    let changed = environment.with(key, &value)?;
    let new = hygiene::faults(&changed).remove(key).unwrap_or_default();
    let refused: Vec<&str> = new
        .iter()
        .filter(|fault| **fault != Fault::UnsafeCharacter)
        .map(|fault| fault.text())
        .collect();
    if is_secret(key) && !refused.is_empty() {
        return Err(
            Failure::refused(format!("{key}: the value {}", refused.join(", ")))
                .try_next(format!("platform-ops secrets set {key} --generate"))
                .into(),
        );
    }
    let mut plan = Plan::new("secrets set");
    plan.push(Action::Environment {
        path: session.root.platform_env(),
        exists: true,
        keys: vec![key.to_owned()],
        environment: changed,
    });
    if environment.get(key).is_some() {
        plan.require(Consent::Yes);
        plan.note("what a server knows already it keeps: PostgreSQL until platform-ops secrets rotate, the others until platform-ops up and restart");
    }
    plan.note("next: platform-ops up --dry-run");
    plan.carry_out(session).await
}

/// The value, from stdin; on a terminal without echo.
fn read(session: &Session, key: &str) -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    let mut value = String::new();
    if stdin.is_terminal() {
        if session.options.no_input {
            return Err(Failure::refused(format!("{key}: nobody can be asked"))
                .try_next("--generate, or give it on stdin")
                .into());
        }
        eprint!("{key}: ");
        let before = tcgetattr(&stdin).context("ask the terminal")?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &silent).context("switch the echo off")?;
        let line = stdin.read_line(&mut value);
        tcsetattr(&stdin, OptionalActions::Now, &before).context("switch the echo on")?;
        eprintln!();
        line.context("read the value")?;
    } else {
        stdin
            .take(VALUE_BYTES_MAX + 1)
            .read_to_string(&mut value)
            .context("read the value from stdin")?;
        anyhow::ensure!(
            value.len() as u64 <= VALUE_BYTES_MAX,
            "{key}: the value is longer than {VALUE_BYTES_MAX} bytes"
        );
    }
    let value = value.strip_suffix('\n').unwrap_or(&value);
    Ok(value.strip_suffix('\r').unwrap_or(value).to_owned())
}
