//! Teaching the servers, and taking back: every step can be repeated.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::action::Rotation;
use super::pooler::Pause;
use super::{Login, Way, role};
use crate::backup::psql::{self, Place};
use crate::container::Container;
use crate::failure::Failure;
use crate::file;
use crate::image::ImageLock;
use crate::pooler::{Console, Row};
use crate::postgres;
use crate::redis;
use crate::session::Session;
use crate::settings::{AppRole, Settings};
use crate::stack;

/// A role that another transaction holds must not hold up every client.
const LOCK_SECONDS_MAX: u32 = 3;
/// A session that is ended is gone by then.
const SESSION_END_MAX: Duration = Duration::from_secs(5);
/// By then PgBouncer has read its files.
const PROOF_WAIT_MAX: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A key that is never written: it carries the old secret into a file that holds both.
const OLD_KEY: &str = "PLATFORM_OLD_PASSWORD";
/// Of the session that changes a password: it may outlive the run.
const APPLICATION: &str = "platform-ops-rotate";
const USERLIST: &str = "pgbouncer/userlist.txt";
const USERS_ACL: &str = "redis/users.acl";

impl Rotation {
    /// Lets the server accept the new secret.
    pub(super) async fn teach(&self, session: &Session) -> anyhow::Result<()> {
        if self.journal.way != Way::SameRole {
            self.note_change();
        }
        match &self.journal.way {
            // Nothing is changed before clients wait.
            Way::SameRole => self.change_password(session).await,
            Way::Alternate { owner } => {
                let sql = role::admit_sql(owner, &self.journal.to);
                postgres::run(session, self.server()?, "postgres", &sql).await?;
                self.write(session, &self.both()?, USERLIST)?;
                self.reload_pooler(session).await
            }
            Way::Redis => {
                let (from, to) = (&self.journal.from.secret, &self.journal.to.secret);
                self.write_acl(session, &[from, to])?;
                self.set_user(session, &redis_password(to)).await
            }
            Way::Console => {
                self.write(session, &self.after, USERLIST)?;
                self.reload_pooler(session).await
            }
        }
    }

    /// Lets it accept the old one no more, where it still does.
    pub(super) async fn retire(&self, session: &Session) -> anyhow::Result<()> {
        match &self.journal.way {
            Way::SameRole | Way::Console => Ok(()),
            Way::Alternate { .. } => {
                self.wait_for_clients(session).await?;
                let sql = role::dismiss_sql(&self.journal.from.user);
                postgres::run(session, self.server()?, "postgres", &sql).await?;
                self.write(session, &self.after, USERLIST)?;
                self.reload_pooler(session).await
            }
            Way::Redis => {
                let to = &self.journal.to.secret;
                self.write_acl(session, &[to])?;
                let command = format!("resetpass {}", redis_password(to));
                self.set_user(session, &command).await
            }
        }
    }

    /// PAUSE, ALTER ROLE, userlist, RELOAD, RESUME.
    async fn change_password(&self, session: &Session) -> anyhow::Result<()> {
        let pooler = self.pooler()?;
        let place = Place {
            container: self.server()?.name.clone(),
            user: postgres::superuser(self.server()?).to_owned(),
            application: APPLICATION.to_owned(),
            lock_wait_seconds: LOCK_SECONDS_MAX,
        };
        if !self.is_fresh {
            Console::connect(&self.before, pooler)
                .await?
                .resume(None)
                .await?;
        }
        // Everything that takes time comes first.
        let docker = session.engine().await?.docker();
        let mut sql = psql::Session::open(docker, &place, "postgres").await?;
        let limits =
            format!("set lock_timeout = '{LOCK_SECONDS_MAX}s'; set statement_timeout = '5s';");
        sql.lines(&limits).await?;
        let alter = role::password_sql(&self.journal.to);
        let mut pause = Pause::begin(session, &self.before, pooler, self.within).await?;
        self.note_change();
        let change = async {
            session.audit.record("pooler", "PAUSE")?;
            sql.lines(&alter).await?;
            self.write(session, &self.after, USERLIST)?;
            pause.reload().await
        };
        let changed = change.await;
        let waited = pause.end(changed.is_ok()).await;
        changed?;
        let waited = waited?;
        session.audit.record("pooler", "RESUME")?;
        let milliseconds = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        let pause = serde_json::json!({"milliseconds": milliseconds});
        session.output.result("pause", &pause, || {
            format!("PgBouncer's clients waited {milliseconds} ms")
        });
        Ok(())
    }

    /// Writes userlist.txt with the password that PostgreSQL takes, where it takes one of both.
    pub(super) async fn follow(&self, session: &Session) -> anyhow::Result<()> {
        // A change that is still under way would come after the look.
        let end = format!(
            "select count(pg_terminate_backend(pid, {})) from pg_stat_activity where application_name = '{APPLICATION}'",
            SESSION_END_MAX.as_millis()
        );
        postgres::run(session, self.server()?, "postgres", &end).await?;
        let direct = self.doors.first().context("PostgreSQL has no door")?;
        let (from, to) = (&self.journal.from, &self.journal.to);
        for (login, settings) in [(to, &self.after), (from, &self.before)] {
            if direct.lets_in(login).await? {
                return self.write(session, settings, USERLIST);
            }
        }
        Ok(())
    }

    /// Writes the one derived file of this name, as settings say.
    fn write(&self, session: &Session, settings: &Settings, name: &str) -> anyhow::Result<()> {
        let lock = ImageLock::load(session)?;
        let files = stack::derived(&session.root, settings, &lock)?;
        for file in files.iter().filter(|file| file.path.ends_with(name)) {
            file::replace(&file.path, file.content.as_bytes(), file.access)?;
        }
        Ok(())
    }

    /// Writes every derived file that differs, but those that still hold both secrets.
    pub(super) fn write_files(&self, session: &Session) -> anyhow::Result<()> {
        let held_back = match self.journal.way {
            Way::Alternate { .. } => Some(USERLIST),
            Way::Redis => Some(USERS_ACL),
            _ => None,
        };
        let lock = ImageLock::load(session)?;
        for file in stack::derived(&session.root, &self.after, &lock)? {
            let is_held_back = held_back.is_some_and(|name| file.path.ends_with(name));
            if !is_held_back && file.difference()?.is_some() {
                file::replace(&file.path, file.content.as_bytes(), file.access)?;
            }
        }
        Ok(())
    }

    /// The new settings, with the old login beside the new one.
    fn both(&self) -> anyhow::Result<Settings> {
        let from = &self.journal.from;
        let environment = self.after.environment.with(OLD_KEY, &from.secret)?;
        let mut settings = Settings {
            environment,
            ..self.after.clone()
        };
        let mut roles = self.after.app_roles.iter();
        let role = roles.find(|role| role.key == self.journal.key);
        settings.app_roles.push(AppRole {
            user: from.user.clone(),
            key: OLD_KEY.to_owned(),
            database: role.map(|role| role.database.clone()).unwrap_or_default(),
        });
        Ok(settings)
    }

    async fn reload_pooler(&self, session: &Session) -> anyhow::Result<()> {
        let engine = session.engine().await?;
        engine.signal(&self.pooler()?.name, "SIGHUP").await
    }

    /// Until no client of the old login is left; who stays on keeps its connection.
    async fn wait_for_clients(&self, session: &Session) -> anyhow::Result<()> {
        let console = Console::connect(&self.before, self.pooler()?).await?;
        let user = &self.journal.from.user;
        let deadline = Instant::now() + self.within;
        loop {
            let rows = console.run("SHOW CLIENTS").await?;
            let is_old = |row: &&Row| row.get("user") == Some(user);
            let left = rows.iter().filter(is_old).count();
            if left == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                session.output.note(&format!(
                    "  {left} clients are still connected as {user}: they are let in no more once they leave"
                ));
                return Ok(());
            }
            session.interrupt.check()?;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn write_acl(&self, session: &Session, secrets: &[&str]) -> anyhow::Result<()> {
        let lock = ImageLock::load(session)?;
        let files = stack::derived(&session.root, &self.after, &lock)?;
        for file in files.iter().filter(|file| file.path.ends_with(USERS_ACL)) {
            let content = stack::redis_users(secrets);
            file::replace(&file.path, content.as_bytes(), file.access)?;
        }
        Ok(())
    }

    async fn set_user(&self, session: &Session, rules: &str) -> anyhow::Result<()> {
        let command = format!("ACL SETUSER default {rules}");
        let answer = redis::run(session, self.server()?, None, &command).await?;
        anyhow::ensure!(answer.trim() == "OK", "Redis answered: {}", answer.trim());
        Ok(())
    }

    /// Whether the present secret is let in.
    pub async fn is_in_force(&self, session: &Session) -> bool {
        let from = &self.journal.from;
        let answer = match self.doors.first() {
            Some(door) => door.lets_in(from).await,
            None => match self.server() {
                Ok(server) => redis_lets_in(session, server, &from.secret).await,
                Err(error) => Err(error),
            },
        };
        answer.unwrap_or(false)
    }

    /// Proves by logging in that the new secret works, and that the old one does not.
    pub(super) async fn prove(
        &self,
        session: &Session,
        is_old_refused: bool,
    ) -> anyhow::Result<()> {
        let (from, to) = (&self.journal.from, &self.journal.to);
        for door in &self.doors {
            self.wait_for(session, Some(door), to, true).await?;
        }
        if self.doors.is_empty() {
            self.wait_for(session, None, to, true).await?;
        }
        if !is_old_refused {
            return Ok(());
        }
        for door in &self.doors {
            self.wait_for(session, Some(door), from, false).await?;
        }
        if self.doors.is_empty() {
            self.wait_for(session, None, from, false).await?;
        }
        Ok(())
    }

    /// PgBouncer may not have read its files yet.
    async fn wait_for(
        &self,
        session: &Session,
        door: Option<&super::login::Door>,
        login: &Login,
        wanted: bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PROOF_WAIT_MAX;
        loop {
            let answer = match door {
                Some(door) => door.lets_in(login).await,
                None => redis_lets_in(session, self.server()?, &login.secret).await,
            };
            let name = door.map_or("Redis", |door| door.name);
            match answer {
                Ok(is_in) if is_in == wanted => return Ok(()),
                Ok(_) if Instant::now() < deadline => {}
                Err(_) if Instant::now() < deadline => {}
                Ok(true) => {
                    anyhow::bail!("{name}: the old secret of {} is still let in", login.user)
                }
                Ok(false) => anyhow::bail!("{name}: the new secret of {} is refused", login.user),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn server(&self) -> anyhow::Result<&Container> {
        self.server
            .as_ref()
            .context("the server was not looked for")
    }

    fn pooler(&self) -> anyhow::Result<&Container> {
        self.pooler
            .as_ref()
            .context(Failure::refused("PgBouncer was not looked for"))
    }
}

/// By its digest: what it is told, Redis may log.
fn redis_password(secret: &str) -> String {
    format!("#{}", stack::redis_digest(secret))
}

async fn redis_lets_in(
    session: &Session,
    container: &Container,
    secret: &str,
) -> anyhow::Result<bool> {
    match redis::run(session, container, Some(secret), "PING").await {
        Ok(answer) => Ok(answer.trim() == "PONG"),
        Err(error) if format!("{error:#}").contains("WRONGPASS") => Ok(false),
        Err(error) => Err(error),
    }
}
