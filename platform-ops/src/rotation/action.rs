//! The steps of a rotation, and what they share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::login::Door;
use super::target::user_key;
use super::{App, Journal, Way, role};
use crate::container::Container;
use crate::failure::Failure;
use crate::plan::{self, Effect, Plan};
use crate::service::Service;
use crate::session::Session;
use crate::settings::Settings;
use crate::stack::Observed;

/// A rotation, ready to be carried out.
pub struct Rotation {
    /// From what to what.
    pub journal: Journal,
    /// How long to wait for open transactions.
    pub within: Duration,
    /// How long to wait for an application.
    pub health_wait: Duration,
    pub(super) before: Settings,
    pub(super) after: Settings,
    /// PostgreSQL or Redis.
    pub(super) server: Option<Container>,
    pub(super) pooler: Option<Container>,
    /// Where to log in; Redis has a way of its own.
    pub(super) doors: Vec<Door>,
    pub(super) is_fresh: bool,
    has_changed: AtomicBool,
}

impl Rotation {
    /// Looks at the servers.
    ///
    /// # Errors
    /// When one does not run or is not ours to change, or the role is not there.
    pub async fn prepare(
        session: &Session,
        settings: &Settings,
        journal: Journal,
        is_fresh: bool,
        waits: [Duration; 2],
    ) -> anyhow::Result<Self> {
        session.redactor.learn(&journal.from.secret);
        session.redactor.learn(&journal.to.secret);
        let side = |login| Settings::of(journal.applied(&settings.environment, login)?);
        let (before, after) = (side(&journal.from)?, side(&journal.to)?);
        let observed = Observed::look(session, &settings.names).await?;
        let running = |service: Service| -> anyhow::Result<Container> {
            let container = observed
                .one(service)
                .filter(|container| container.is_running());
            container.cloned().with_context(|| {
                Failure::refused(format!("{service} does not run"))
                    .try_next(format!("platform-ops up {service}"))
            })
        };
        let [within, health_wait] = waits;
        let mut rotation = Self {
            within,
            health_wait,
            before,
            after,
            server: None,
            pooler: None,
            doors: Vec::new(),
            is_fresh,
            has_changed: AtomicBool::new(!is_fresh),
            journal,
        };
        match rotation.journal.way {
            Way::Redis => {
                refuse_adopted(settings, Service::Redis)?;
                rotation.server = Some(running(Service::Redis)?);
            }
            Way::Console => {
                refuse_adopted(settings, Service::Pgbouncer)?;
                rotation.pooler = Some(running(Service::Pgbouncer)?);
                rotation.door("PgBouncer's console", Service::Pgbouncer, "pgbouncer")?;
            }
            Way::SameRole | Way::Alternate { .. } => {
                refuse_adopted(settings, Service::Pgbouncer)?;
                let server = running(Service::Postgres)?;
                let logins = [&rotation.journal.from, &rotation.journal.to];
                let database = role::check(session, &server, &rotation.journal.way, logins).await?;
                rotation.server = Some(server);
                rotation.pooler = Some(running(Service::Pgbouncer)?);
                rotation.door("PostgreSQL", Service::Postgres, &database)?;
                rotation.door("PgBouncer", Service::Pgbouncer, &database)?;
            }
        }
        Ok(rotation)
    }

    fn door(&mut self, name: &'static str, service: Service, database: &str) -> anyhow::Result<()> {
        let container = match service {
            Service::Postgres => &self.server,
            _ => &self.pooler,
        };
        let address = container
            .as_ref()
            .and_then(|container| container.address(&self.before.names.network))
            .with_context(|| format!("the container of {service} has no address"))?;
        self.doors.push(Door {
            name,
            address: address.to_owned(),
            port: service.port().unwrap_or_default(),
            database: database.to_owned(),
        });
        Ok(())
    }

    /// Whether a server may know the new secret.
    pub fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Relaxed)
    }

    pub(super) fn note_change(&self) {
        self.has_changed.store(true, Ordering::Relaxed);
    }
}

fn refuse_adopted(settings: &Settings, service: Service) -> anyhow::Result<()> {
    if !settings.names.adopted.contains(&service) {
        return Ok(());
    }
    let what =
        format!("{service} runs from a stack made by hand: what it reads is not ours to write");
    Err(Failure::refused(what)
        .try_next(format!("platform-ops adopt --take {service}"))
        .into())
}

/// A step.
#[derive(Clone, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// Notes what is under way.
    Begin(#[serde(skip)] Arc<Rotation>),
    /// Lets the server accept the new secret.
    Teach(#[serde(skip)] Arc<Rotation>),
    /// Logs in.
    Prove {
        /// Whether the old one has to be refused by now.
        is_old_refused: bool,
        #[serde(skip)]
        #[allow(missing_docs)]
        rotation: Arc<Rotation>,
    },
    /// Writes platform.env and what is derived from it.
    Write(#[serde(skip)] Arc<Rotation>),
    /// Makes an application's containers anew.
    Recreate {
        /// Which.
        app: App,
    },
    /// Waits for them.
    Healthy {
        /// Which.
        app: App,
        /// How long at most.
        seconds_max: u64,
    },
    /// Takes the old secret back.
    Retire(#[serde(skip)] Arc<Rotation>),
    /// Forgets what was under way.
    End,
}

/// The plan. A rotation that was begun before is planned from its start: its steps can be repeated.
pub fn plan(rotation: &Arc<Rotation>) -> Plan<Action> {
    let journal = &rotation.journal;
    let has_two = matches!(journal.way, Way::Alternate { .. } | Way::Redis);
    let mut plan = Plan::new("secrets rotate");
    let prove = |is_old_refused| Action::Prove {
        is_old_refused,
        rotation: rotation.clone(),
    };
    if rotation.is_fresh {
        plan.push(Action::Begin(rotation.clone()));
    }
    plan.push(Action::Teach(rotation.clone()));
    plan.push(prove(!has_two));
    plan.push(Action::Write(rotation.clone()));
    for app in &journal.apps {
        plan.push(Action::Recreate { app: app.clone() });
    }
    for app in &journal.apps {
        plan.push(Action::Healthy {
            app: app.clone(),
            seconds_max: rotation.health_wait.as_secs(),
        });
    }
    if has_two {
        plan.push(Action::Retire(rotation.clone()));
        plan.push(prove(true));
    }
    plan.push(Action::End);
    plan
}

impl Rotation {
    fn teach_summary(&self) -> String {
        let to = &self.journal.to.user;
        match &self.journal.way {
            Way::SameRole => format!(
                "let PgBouncer's clients wait ({} s at most for open transactions), give role {to} a new password as its SCRAM verifier, rewrite userlist.txt, reload, let them go on",
                self.within.as_secs()
            ),
            Way::Alternate { owner } if owner == to => {
                format!("let role {to} log in again, in PostgreSQL and in userlist.txt, beside {}", self.journal.from.user)
            }
            Way::Alternate { owner } => format!(
                "let login role {to}, acting as {owner}, log in with a new password, in PostgreSQL and in userlist.txt, beside {}",
                self.journal.from.user
            ),
            Way::Redis => "let Redis accept a new password beside the old one, in users.acl and by ACL SETUSER".to_owned(),
            Way::Console => format!("give {to} a new password in userlist.txt, and let PgBouncer read it"),
        }
    }

    fn prove_summary(&self, is_old_refused: bool) -> String {
        let doors = match &self.journal.way {
            Way::Redis => "to Redis",
            Way::Console => "to PgBouncer's console",
            _ => "directly and through PgBouncer",
        };
        let old = if is_old_refused {
            "; the old secret has to be refused"
        } else {
            ""
        };
        format!(
            "log in as {} with the new secret, {doors}{old}",
            self.journal.to.user
        )
    }
}

impl plan::Action for Action {
    fn summary(&self) -> String {
        match self {
            Self::Begin(_) => {
                "note in config/rotation.json (600 uid 0) what is under way".to_owned()
            }
            Self::Teach(rotation) => rotation.teach_summary(),
            Self::Prove {
                is_old_refused,
                rotation,
            } => rotation.prove_summary(*is_old_refused),
            Self::Write(rotation) => {
                let journal = &rotation.journal;
                let user = match journal.way {
                    Way::Alternate { .. } => format!(" and {}", user_key(&journal.key)),
                    _ => String::new(),
                };
                format!(
                    "set {}{user} in platform.env, and rewrite what is derived from it",
                    journal.holder
                )
            }
            Self::Recreate { app } => format!("recreate the containers of {}", app.text()),
            Self::Healthy { app, seconds_max } => {
                format!(
                    "wait until {} is healthy ({seconds_max} s at most; else everything is taken back)",
                    app.text()
                )
            }
            Self::Retire(rotation) => match &rotation.journal.way {
                Way::Redis => "let Redis accept the new password only".to_owned(),
                _ => format!(
                    "once its clients have left, let {} log in no more, in PostgreSQL and in userlist.txt",
                    rotation.journal.from.user
                ),
            },
            Self::End => "remove config/rotation.json".to_owned(),
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Begin(_) => Effect::Create,
            Self::Teach(_) | Self::Write(_) | Self::Retire(_) | Self::End => Effect::Change,
            Self::Prove { .. } | Self::Healthy { .. } => Effect::Check,
            Self::Recreate { .. } => Effect::Recreate,
        }
    }

    async fn apply(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Begin(rotation) => rotation.journal.save(session),
            Self::Teach(rotation) => rotation.teach(session).await,
            Self::Prove {
                is_old_refused,
                rotation,
            } => rotation.prove(session, *is_old_refused).await,
            Self::Write(rotation) => {
                rotation.after.environment.save(session)?;
                rotation.write_files(session)
            }
            Self::Recreate { app } => app.recreate(session).await,
            Self::Healthy { app, seconds_max } => {
                let engine = session.engine().await?;
                let wait = Duration::from_secs(*seconds_max);
                for container in app.containers() {
                    engine
                        .wait_healthy(container, wait, &session.interrupt)
                        .await?;
                }
                Ok(())
            }
            Self::Retire(rotation) => rotation.retire(session).await,
            Self::End => Journal::remove(session),
        }
    }
}
