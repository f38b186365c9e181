//! `secrets rotate`: a new secret for a role, Redis or PgBouncer's console.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::container::Container;
use crate::doctor::Waivers;
use crate::exit::Exit;
use crate::failure::{self, Failure};
use crate::hygiene::{self, Fault};
use crate::plan::Consent;
use crate::rotation::{self, App, Consumers, Journal, Login, Rotation, Target, Way};
use crate::secret;
use crate::session::Session;
use crate::settings::Settings;

/// Arguments of `secrets rotate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-ops secrets rotate trading_app_user --dry-run     the plan, with the applications it names
  platform-ops secrets rotate trading_app_user --yes
  platform-ops secrets rotate trading_app_user --alternate   for applications that connect again and again
  platform-ops secrets rotate redis
  platform-ops secrets rotate platform_admin

No transaction of a client that is connected through PgBouncer fails: clients wait for some
milliseconds, which are printed. PostgreSQL is told the SCRAM verifier, Redis the digest, never the
password. The new secret is proven by logging in, directly and through PgBouncer, and the old one by
being refused; then the applications whose containers have the secret are made anew and waited for.

A role has one password: between its change and the end of its restart, an application that opens a
new connection is refused. --alternate gives it two login roles that act as the present one and take
turns, ROLE_a and ROLE_b: both are let in until the applications have changed. They have to take
their user from <NAME>_DB_USER. Redis accepts both passwords for that time by itself.

Run it again after a kill: it continues; until then PgBouncer and the database agree on the old or
the new one. Where an application does not get healthy, or a login does not work, everything is
taken back. Exit codes: 1 also for a rotation that was taken back.")]
pub struct Arguments {
    /// A role, redis, pgbouncer_admin, or the key in platform.env
    role: String,
    /// Let two login roles take turns, so that both are let in for a time
    #[arg(long, conflicts_with = "no_restart")]
    alternate: bool,
    /// Leave the applications alone: what they have open works on, new connections are refused
    #[arg(long)]
    no_restart: bool,
    /// How long to wait for open transactions
    #[arg(long, value_name = "TIME", default_value = "10s")]
    within: humantime::Duration,
    /// How long to wait for an application to be healthy
    #[arg(long, value_name = "TIME", default_value = "5m")]
    health_wait: humantime::Duration,
}

impl Arguments {
    fn waits(&self) -> [Duration; 2] {
        [self.within.into(), self.health_wait.into()]
    }
}

/// Carries it out, or finishes what was cut short.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let _lock = session.lock("secrets rotate")?;
    let settings = Settings::load(session)?;
    match Journal::load(session)? {
        Some(journal) => finish(session, &settings, arguments, journal).await,
        None => begin(session, &settings, arguments).await,
    }
}

async fn begin(
    session: &Session,
    settings: &Settings,
    arguments: &Arguments,
) -> anyhow::Result<Exit> {
    let target = rotation::resolve(settings, &arguments.role, arguments.alternate)?;
    let is_port = refuse_while_port(&Waivers::load(session)?, settings, &target)?;
    let from = target.current(settings);
    let to = Login {
        user: target.next_user(),
        secret: secret::generate()?,
    };
    let found = rotation::consumers(session, settings, &target.key, &from.secret).await?;
    let is_alternate = matches!(target.way, Way::Alternate { .. });
    if is_alternate {
        refuse_without_turns(session, settings, arguments, &target, &found).await?;
    }
    let mut unchecked = Vec::new();
    let apps = if arguments.no_restart {
        Vec::new()
    } else {
        unchecked = refuse_unhealthy(session, &found.apps).await?;
        found.apps.clone()
    };
    let journal = Journal {
        holder: rotation::holder(&settings.environment, &target.key),
        key: target.key.clone(),
        way: target.way.clone(),
        from,
        to,
        is_back: false,
        apps,
    };
    refuse_copies(settings, &journal)?;
    let rotation = Rotation::prepare(session, settings, journal, true, arguments.waits()).await?;
    let rotation = Arc::new(rotation);
    let mut plan = rotation::plan(&rotation);
    plan.require(if is_port {
        Consent::Name(target.user.clone())
    } else {
        Consent::Yes
    });
    if is_port {
        plan.note(format!(
            "{} is a port: the application has to read its port from elsewhere before this",
            target.key
        ));
    }
    for name in unchecked {
        plan.note(format!(
            "container {name} has no health check: whether it can log in is not seen"
        ));
    }
    for name in &found.others {
        plan.note(format!("container {name} has the secret, too, and is no application under apps/: it is yours to restart"));
    }
    if arguments.no_restart {
        for app in &found.apps {
            plan.note(format!(
                "{} keeps the old secret until: platform-ops app up {}",
                app.text(),
                app.name
            ));
        }
    }
    if !rotation.is_in_force(session).await {
        refuse_unknown_redis(&target)?;
        plan.note(format!(
            "the server does not accept the present {}: this puts it right, too",
            target.key
        ));
    }
    carry_out(session, settings, arguments, &rotation, plan).await
}

async fn finish(
    session: &Session,
    settings: &Settings,
    arguments: &Arguments,
    journal: Journal,
) -> anyhow::Result<Exit> {
    if !journal.is_meant_by(&arguments.role) {
        let what = format!("a rotation of {} was cut short", journal.key);
        return Err(Failure::refused(what)
            .try_next(format!(
                "platform-ops secrets rotate {} finishes it",
                journal.key
            ))
            .into());
    }
    let what = if journal.is_back {
        "taken back"
    } else {
        "finished"
    };
    session.output.note(&format!(
        "the rotation of {} that was cut short is {what}",
        journal.key
    ));
    let rotation = Rotation::prepare(session, settings, journal, false, arguments.waits()).await?;
    let rotation = Arc::new(rotation);
    let plan = rotation::plan(&rotation);
    carry_out(session, settings, arguments, &rotation, plan).await
}

async fn carry_out(
    session: &Session,
    settings: &Settings,
    arguments: &Arguments,
    rotation: &Arc<Rotation>,
    plan: crate::plan::Plan<rotation::Action>,
) -> anyhow::Result<Exit> {
    let error = match plan.carry_out(session).await {
        Ok(exit) => return Ok(exit),
        Err(error) => error,
    };
    if session.options.dry_run
        || failure::exit(&error) == Exit::INTERRUPTED && rotation.has_changed()
    {
        return Err(error);
    }
    if !rotation.has_changed() {
        // Whatever was noted, no server knows of it.
        Journal::remove(session)?;
        return Err(error);
    }
    if rotation.journal.is_back {
        return Err(error.context("the old secret could not be brought back yet; run it again"));
    }
    session.output.note("taking everything back");
    let back = rotation.journal.reversed();
    back.save(session)?;
    let back = Rotation::prepare(session, settings, back, false, arguments.waits()).await;
    let taken_back = match back {
        Ok(back) => rotation::plan(&Arc::new(back)).carry_out(session).await,
        Err(failed) => Err(failed),
    };
    match taken_back {
        Ok(_) => Err(error.context("the rotation was taken back: the old secret is in force")),
        Err(failed) => Err(error
            .context(format!("{failed:#}"))
            .context("the rotation failed, and could not be taken back yet; run it again")),
    }
}

/// Refuses to change a password that its application takes for a port, as long as that is waived.
/// Whether the operator has to say that the application was mended.
///
/// # Errors
/// While a waiver stands, with what the application's maintainer has to change.
fn refuse_while_port(
    waivers: &Waivers,
    settings: &Settings,
    target: &Target,
) -> anyhow::Result<bool> {
    let faults = hygiene::faults(&settings.environment);
    let is_port = faults
        .get(&target.key)
        .is_some_and(|faults| faults.contains(&Fault::EqualsPort));
    if !is_port {
        return Ok(false);
    }
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let stands = waivers.waivers.iter().find(|waiver| {
        waiver.check == "secret.weak" && waiver.subject == target.key && waiver.expires >= today
    });
    let Some(waiver) = stands else {
        return Ok(true);
    };
    let key = &target.key;
    Err(Failure::refused(format!(
        "{key} is a port, and waived until {} ({}): the application of {} would take a new password for its port and lose the database",
        waiver.expires, waiver.reason, target.user
    ))
    .try_next(format!(
        "the application's maintainer has to read the port from a variable of its own (DB_PORT=6432) and only the password from {key}; when that runs, take the waiver out of config/waivers.toml and rotate"
    ))
    .into())
}

/// Where nobody would change over, both would have to stay.
async fn refuse_without_turns(
    session: &Session,
    settings: &Settings,
    arguments: &Arguments,
    target: &Target,
    found: &Consumers,
) -> anyhow::Result<()> {
    if arguments.no_restart {
        let what = format!(
            "{} has two login roles that take turns: its applications have to change over",
            target.user
        );
        return Err(Failure::usage(what)
            .try_next("the same without --no-restart")
            .into());
    }
    let key = rotation::user_key(&target.key);
    for app in &found.apps {
        app.require_user_key(session, &settings.environment, &key)
            .await?;
    }
    Ok(())
}

/// Who is not healthy before says nothing afterwards. Returns the containers that never do.
async fn refuse_unhealthy(session: &Session, apps: &[App]) -> anyhow::Result<Vec<String>> {
    let engine = session.engine().await?;
    let mut unchecked = Vec::new();
    for name in apps.iter().flat_map(App::containers) {
        let container = engine.container(name).await?;
        let Some(container) = container.filter(Container::is_healthy) else {
            let what = format!(
                "container {name} is not healthy now: whether the new secret works for it could not be told"
            );
            return Err(Failure::refused(what)
                .try_next(format!("docker logs {name}; or --no-restart"))
                .into());
        };
        if container.health.is_none() {
            unchecked.push(container.name);
        }
    }
    Ok(unchecked)
}

/// Nothing else lets us in there.
fn refuse_unknown_redis(target: &Target) -> anyhow::Result<()> {
    if target.way != Way::Redis {
        return Ok(());
    }
    let what = format!("Redis does not accept the present {}", target.key);
    Err(Failure::refused(what)
        .try_next("platform-ops restart redis, which makes platform.env's its own")
        .into())
}

/// A key with a copy of the secret would keep the old one.
fn refuse_copies(settings: &Settings, journal: &Journal) -> anyhow::Result<()> {
    let after = journal.applied(&settings.environment, &journal.to)?;
    let old = &journal.from.secret;
    let copy = |value: &String| value == old || (old.len() >= 6 && value.contains(old.as_str()));
    let holder = after.values().iter().find(|(_, value)| copy(value));
    match holder {
        Some((key, _)) if !old.is_empty() => Err(Failure::refused(format!(
            "{key} in platform.env has the secret of {} itself: it would stay the old one",
            journal.key
        ))
        .try_next(format!("write ${{{}}} in its place", journal.key))
        .into()),
        _ => Ok(()),
    }
}
