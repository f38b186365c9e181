//! What the servers themselves answer.

use anyhow::Context as _;
use serde_json::Value;

use super::gap;
use crate::container::Container;
use crate::doctor::{Facts, PoolerFacts, PostgresFacts, RedisFacts};
use crate::pooler::{Console, Login};
use crate::service::Service;
use crate::session::Session;
use crate::settings::Settings;
use crate::side_name;
use crate::{postgres, redis};

const AGENT_STATUS: [&str; 5] = [
    "/platform-agent",
    "status",
    "--json",
    "--config",
    "/etc/platform-agent/agent.toml",
];

const CLUSTER_SQL: &str = "select json_build_object(
 'settings', (select json_object_agg(name, setting) from pg_settings where name in ('max_connections', 'max_wal_size', 'fsync', 'full_page_writes', 'synchronous_commit', 'shared_buffers', 'data_checksums', 'server_version', 'archive_mode')),
 'maintenance_work_mem_bytes', (select setting::bigint * 1024 from pg_settings where name = 'maintenance_work_mem'),
 'connections', (select count(*) from pg_stat_activity where backend_type = 'client backend'),
 'xid_age', (select max(age(datfrozenxid)) from pg_database),
 'wal_bytes', (select coalesce(sum(size), 0)::bigint from pg_ls_waldir()),
 'idle_slots', (select coalesce(json_agg(json_build_array(slot_name, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint)), '[]') from pg_replication_slots where not active),
 'collations', (select coalesce(json_agg(datname), '[]') from pg_database where datallowconn and datcollversion <> pg_database_collation_actual_version(oid)),
 'open_hba', (select coalesce(json_agg(concat_ws(' ', type, array_to_string(database, ','), array_to_string(user_name, ','), address, netmask, auth_method)), '[]') from pg_hba_file_rules where auth_method = 'trust' and type like 'host%' and address not in ('127.0.0.1', '::1', 'localhost', 'samehost')),
 'superusers', (select coalesce(json_agg(rolname), '[]') from pg_roles where rolsuper and rolcanlogin and rolname <> current_user and rolname <> 'postgres'),
 'oldest_transaction_seconds', (select coalesce(max(extract(epoch from now() - xact_start)), 0)::bigint from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()),
 'kept', (select coalesce(json_agg(json_build_array(datname, pg_database_size(oid)) order by datname), '[]') from pg_database where datname ~ '{kept}'),
 'archive_failures', (select case when last_failed_time > coalesce(last_archived_time, '-infinity') then failed_count else 0 end from pg_stat_archiver))";

const DATABASES_SQL: &str = "select coalesce(json_agg(datname order by datname), '[]') from pg_database where datallowconn and not datistemplate";

const DATABASE_SQL: &str = "select json_build_object(
 'extensions', (select coalesce(json_agg(json_build_array(current_database(), e.extname, e.extversion, coalesce(a.default_version, ''))), '[]') from pg_extension e left join pg_available_extensions a on a.name = e.extname),
 'invalid_indexes', (select coalesce(json_agg(current_database() || '.' || indexrelid::regclass), '[]') from pg_index where not indisvalid))";

/// Asks each server that runs.
pub(super) async fn gather(session: &Session, settings: Option<&Settings>, facts: &mut Facts) {
    for service in Service::ALL {
        let Some(container) = facts
            .containers
            .get(&service)
            .and_then(|containers| containers.first())
            .filter(|container| container.is_running())
            .cloned()
        else {
            continue;
        };
        let asked = match (service, settings) {
            (Service::Postgres, _) => ask_postgres(session, &container, settings, facts).await,
            (Service::Redis, _) => ask_redis(session, &container, settings, facts).await,
            (Service::Pgbouncer, Some(settings)) => ask_pooler(session, &container, settings)
                .await
                .map(|answer| facts.pooler = Some(answer)),
            (Service::Pgbouncer, None) => Ok(()),
            (Service::Agent, _) => ask_agent(session, &container)
                .await
                .map(|answer| facts.agent = Some(answer)),
        };
        if let Err(error) = asked {
            gap(session, facts, service.name(), &error);
        }
    }
}

/// The settings that the stack's own defaults would change: name and value with its unit.
///
/// # Errors
/// When PostgreSQL does not answer.
pub async fn ask_postgres_settings(
    session: &Session,
    container: &Container,
) -> anyhow::Result<Vec<(String, String)>> {
    let sql = "select json_agg(json_build_array(name, current_setting(name))) from pg_settings where name in ('shared_buffers', 'maintenance_work_mem', 'max_connections')";
    let answer = postgres::ask(session, container, "postgres", sql).await?;
    serde_json::from_value(answer).context("read PostgreSQL's answer")
}

async fn ask_postgres(
    session: &Session,
    container: &Container,
    settings: Option<&Settings>,
    facts: &mut Facts,
) -> anyhow::Result<()> {
    let sql = CLUSTER_SQL.replace("{kept}", side_name::PATTERN);
    let cluster = postgres::ask(session, container, "postgres", &sql).await?;
    let mut answers: PostgresFacts =
        serde_json::from_value(cluster).context("read PostgreSQL's answer")?;
    let databases: Vec<String> = serde_json::from_value(
        postgres::ask(session, container, "postgres", DATABASES_SQL).await?,
    )?;
    for database in databases {
        let more = postgres::ask(session, container, &database, DATABASE_SQL).await?;
        let more: PostgresFacts =
            serde_json::from_value(more).context("read PostgreSQL's answer")?;
        answers.extensions.extend(more.extensions);
        answers.invalid_indexes.extend(more.invalid_indexes);
    }
    facts.postgres = Some(answers);
    if let Some(settings) = settings {
        let refused = postgres::refused_keys(session, settings, container).await?;
        let refused = refused.into_iter().map(|key| (key, Service::Postgres));
        facts.refused_secrets.extend(refused);
    }
    Ok(())
}

async fn ask_redis(
    session: &Session,
    container: &Container,
    settings: Option<&Settings>,
    facts: &mut Facts,
) -> anyhow::Result<()> {
    let mut password = settings.and_then(|settings| settings.environment.get("REDIS_PASSWORD"));
    if let Some(known) = password
        && !redis::knows(session, container, known).await?
    {
        facts
            .refused_secrets
            .push(("REDIS_PASSWORD".to_owned(), Service::Redis));
        // The one that its container has may still do.
        password = None;
    }
    let engine = session.engine().await?;
    let stranger = engine
        .exec(&container.name, &["redis-cli", "ping"], "")
        .await?;
    let open = stranger.stdout.trim() == "PONG";
    let info = redis::run(session, container, password.filter(|_| !open), "INFO").await?;
    let mut answers = RedisFacts {
        info: redis::info(&info),
        open,
        ..RedisFacts::default()
    };
    for name in ["maxmemory", "maxmemory-policy", "appendonly", "save"] {
        let text = redis::run(
            session,
            container,
            password.filter(|_| !open),
            &format!("CONFIG GET {name}"),
        )
        .await?;
        let value = text.lines().nth(1).unwrap_or_default().trim().to_owned();
        answers.config.insert(name.to_owned(), value);
    }
    facts.redis = Some(answers);
    Ok(())
}

async fn ask_pooler(
    session: &Session,
    container: &Container,
    settings: &Settings,
) -> anyhow::Result<PoolerFacts> {
    let login = Login {
        user: &settings.postgres_user,
        password: &settings.environment.get_or("POSTGRES_PASSWORD", ""),
        database: "postgres",
    };
    let login_error = login
        .check(settings, container)
        .await
        .err()
        .map(|error| session.redactor.clean(&error.to_string()));
    let mut answers = PoolerFacts {
        login_error,
        md5_users: md5_users(session),
        ..PoolerFacts::default()
    };
    let console = Console::connect(settings, container).await?;
    let version = console.run("SHOW VERSION").await?;
    answers.version = version
        .first()
        .and_then(|row| row.values().next())
        .cloned()
        .unwrap_or_default();
    for row in console.run("SHOW CONFIG").await? {
        let field = |name: &str| row.get(name).cloned().unwrap_or_default();
        answers.config.insert(field("key"), field("value"));
    }
    // A pause of everything shows in no database.
    for row in console.run("SHOW STATE").await? {
        let field = |name: &str| row.get(name).map(String::as_str);
        if field("key") == Some("paused") && field("value") == Some("yes") {
            answers.paused.push("all databases".to_owned());
        }
    }
    for row in console.run("SHOW DATABASES").await? {
        if row.get("paused").is_some_and(|paused| paused == "1") {
            answers
                .paused
                .push(row.get("name").cloned().unwrap_or_default());
        }
    }
    for row in console.run("SHOW POOLS").await? {
        let number = |name: &str| {
            row.get(name)
                .and_then(|value| value.parse::<i64>().ok())
                .unwrap_or(0)
        };
        // The console's own clients are counted there, too.
        if row.get("database").is_some_and(|name| name != "pgbouncer") {
            answers.clients += number("cl_active") + number("cl_waiting");
            answers.servers.0 += number("sv_active");
            answers.servers.1 += number("sv_active") + number("sv_idle") + number("sv_used");
        }
        answers.waiting.0 += number("cl_waiting");
        answers.waiting.1 = answers.waiting.1.max(number("maxwait"));
    }
    Ok(answers)
}

/// Users with an md5 hash in userlist.txt.
fn md5_users(session: &Session) -> Vec<String> {
    let text = std::fs::read_to_string(session.root.join("config/pgbouncer/userlist.txt"))
        .unwrap_or_default();
    let is_md5 = |secret: &str| {
        secret.len() == 35
            && secret.starts_with("md5")
            && secret[3..].chars().all(|c| c.is_ascii_hexdigit())
    };
    let pairs = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" \""));
    pairs
        .filter(|(_, secret)| is_md5(secret.trim_end_matches('"')))
        .map(|(user, _)| user.to_owned())
        .collect()
}

async fn ask_agent(session: &Session, container: &Container) -> anyhow::Result<Value> {
    let output = session
        .engine()
        .await?
        .exec(&container.name, &AGENT_STATUS, "")
        .await?;
    anyhow::ensure!(
        output.code == 0,
        "it ended with code {}: {}",
        output.code,
        output.stderr.trim()
    );
    serde_json::from_str(&output.stdout).context("read the agent's answer")
}
