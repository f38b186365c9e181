//! Plan, then apply: the object that `--dry-run` prints is the one that is carried out.
//!
//! A command looks at the world and makes a [`Plan`] of its own [`Action`]s; nothing else changes
//! anything. Actions are small and can be repeated: a run that was killed is finished by the next
//! one, whose plan holds what is left.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, IsTerminal, Write};

use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Tone;
use crate::session::Session;

/// What a step does to what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Looks, waits or proves.
    Check,
    /// Makes what is not there.
    Create,
    /// Changes what is there.
    Change,
    /// Starts what stands still.
    Start,
    /// Stops what runs.
    Stop,
    /// Ends a container and makes it anew.
    Recreate,
    /// Takes away what cannot be brought back.
    Destroy,
}

impl Effect {
    fn sign(self) -> (&'static str, Tone) {
        match self {
            Self::Check => ("?", Tone::Dim),
            Self::Create => ("+", Tone::Good),
            Self::Change => ("~", Tone::Warn),
            Self::Start => (">", Tone::Good),
            Self::Stop => ("!", Tone::Warn),
            Self::Recreate => ("±", Tone::Bad),
            Self::Destroy => ("-", Tone::Bad),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check => "check",
            Self::Create => "create",
            Self::Change => "change",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Recreate => "recreate",
            Self::Destroy => "destroy",
        })
    }
}

/// One thing to do. It serialises without any secret.
pub trait Action: Serialize + Send + Sync {
    /// One line for people: what is done to what.
    fn summary(&self) -> String;
    /// What that means for what is there.
    fn effect(&self) -> Effect;
    /// Does it. Doing it twice does no harm.
    fn apply(&self, session: &Session) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// What the operator has to say before it is applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// Nothing.
    None,
    /// Yes, or `--yes`.
    Yes,
    /// The name of what is lost, typed or as `--confirm NAME`; `--yes` is not enough.
    Name(String),
}

/// A step: the action and how it reads.
#[derive(Debug, Serialize)]
pub struct Step<A> {
    effect: Effect,
    summary: String,
    action: A,
}

/// What is to be done, in order.
#[derive(Debug, Serialize)]
pub struct Plan<A> {
    command: String,
    consent: Consent,
    steps: Vec<Step<A>>,
    notes: Vec<String>,
}

impl<A: Action> Plan<A> {
    /// An empty plan of a command.
    pub fn new(command: &str) -> Self {
        Self {
            command: command.to_owned(),
            consent: Consent::None,
            steps: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a step.
    pub fn push(&mut self, action: A) {
        self.steps.push(Step {
            effect: action.effect(),
            summary: action.summary(),
            action,
        });
    }

    /// Adds what the operator should know.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Asks for consent before it is applied.
    pub fn require(&mut self, consent: Consent) {
        self.consent = consent;
    }

    /// Whether nothing would change: no step, or only checks.
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| step.effect == Effect::Check)
    }

    /// How many steps have this effect.
    pub fn count(&self, effect: Effect) -> usize {
        self.steps
            .iter()
            .filter(|step| step.effect == effect)
            .count()
    }

    /// The actions, in order.
    pub fn actions(&self) -> impl Iterator<Item = &A> {
        self.steps.iter().map(|step| &step.action)
    }

    /// As people read it.
    pub fn text(&self, session: &Session) -> String {
        let mut text = String::new();
        for step in &self.steps {
            let (sign, tone) = step.effect.sign();
            let sign = session.output.paint(tone, sign);
            text += &format!("  {sign} {}\n", session.redactor.clean(&step.summary));
        }
        for note in &self.notes {
            text += &format!("  note: {}\n", session.redactor.clean(note));
        }
        text += &format!("Plan of {}: {}", self.command, self.tally());
        text
    }

    fn tally(&self) -> String {
        let mut counts = BTreeMap::new();
        for step in &self.steps {
            *counts.entry(step.effect).or_insert(0_usize) += 1;
        }
        // The number everyone looks for is said even when it is zero.
        counts.entry(Effect::Recreate).or_insert(0);
        let mut parts: Vec<String> = counts
            .iter()
            .filter(|(effect, _)| **effect != Effect::Recreate)
            .map(|(effect, count)| format!("{count} to {effect}"))
            .collect();
        parts.push(format!(
            "{} containers recreated",
            counts[&Effect::Recreate]
        ));
        parts.join(", ")
    }

    /// Prints the plan with `--dry-run`; else asks for consent and carries it out.
    ///
    /// # Errors
    /// The first step that fails, refused consent, or an interruption: the steps before it stay
    /// done, and the next run continues.
    pub async fn carry_out(self, session: &Session) -> anyhow::Result<Exit> {
        if session.options.dry_run {
            session.output.result("plan", &self, || self.text(session));
            return Ok(Exit::OK);
        }
        if self.steps.is_empty() {
            session.output.result("applied", &self, || {
                format!("{}: nothing to do", self.command)
            });
            return Ok(Exit::OK);
        }
        self.ask(session)?;
        if !self.is_empty() {
            let plan = serde_json::to_string(&self)?;
            session.audit.record("plan", &plan)?;
        }
        for step in &self.steps {
            self.apply_step(step, session).await?;
        }
        if !self.is_empty() {
            session.audit.record("done", &self.command)?;
        }
        session.output.result("applied", &self, || {
            let notes = self.notes.iter().map(|note| format!("note: {note}\n"));
            let notes = session.redactor.clean(&notes.collect::<String>());
            format!("{notes}{}: done ({})", self.command, self.tally())
        });
        Ok(Exit::OK)
    }

    async fn apply_step(&self, step: &Step<A>, session: &Session) -> anyhow::Result<()> {
        session.interrupt.check()?;
        let summary = session.redactor.clean(&step.summary);
        if step.effect != Effect::Check {
            session.audit.record("step", &summary)?;
        }
        let spinner = session.output.spinner(&summary);
        let done = step.action.apply(session).await;
        spinner.finish_and_clear();
        let (sign, tone) = step.effect.sign();
        match done {
            Ok(()) => {
                let sign = session.output.paint_err(tone, sign);
                session.output.note(&format!("  {sign} {summary}"));
                Ok(())
            }
            Err(error) => {
                session
                    .audit
                    .record("failed", &format!("{summary}: {error:#}"))?;
                Err(error.context(format!("failed to {summary}")))
            }
        }
    }

    fn ask(&self, session: &Session) -> anyhow::Result<()> {
        let options = &session.options;
        match &self.consent {
            Consent::None => Ok(()),
            Consent::Yes if options.yes => Ok(()),
            Consent::Name(name) if options.confirm.as_ref() == Some(name) => Ok(()),
            Consent::Name(name) if options.confirm.is_some() => Err(Failure::refused(format!(
                "--confirm does not name what would be lost: {name}"
            ))
            .into()),
            consent => {
                if options.no_input || !std::io::stdin().is_terminal() {
                    return Err(self.unasked(consent).into());
                }
                session.output.note(&self.text(session));
                if answer_to(consent)? {
                    Ok(())
                } else {
                    Err(Failure::refused("not confirmed; nothing was changed").into())
                }
            }
        }
    }

    fn unasked(&self, consent: &Consent) -> Failure {
        let hint = match consent {
            Consent::Name(name) => format!("look at it with --dry-run, then add --confirm {name}"),
            _ => "look at it with --dry-run, then add --yes".to_owned(),
        };
        Failure::refused(format!(
            "{} needs a confirmation and nobody can be asked",
            self.command
        ))
        .try_next(hint)
    }
}

fn answer_to(consent: &Consent) -> std::io::Result<bool> {
    let mut stderr = std::io::stderr();
    match consent {
        Consent::Name(name) => write!(stderr, "To proceed, type {name:?}: ")?,
        _ => write!(stderr, "Proceed? [y/N] ")?,
    }
    stderr.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(match consent {
        Consent::Name(name) => line.trim() == name,
        _ => matches!(line.trim(), "y" | "Y" | "yes"),
    })
}
