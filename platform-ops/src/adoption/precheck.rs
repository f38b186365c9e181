//! What has to be so before the stack takes a service: the same data, the same image, the same
//! cluster, nothing that would be lost.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

use super::record::pgbouncer_file;
use crate::container::{Container, LABEL_PROJECT, LABEL_WORKING_DIR};
use crate::failure::Failure;
use crate::service::Service;
use crate::session::Session;
use crate::settings::Settings;
use crate::{postgres, redis, stack};

/// What the plan has to do besides, and to compare afterwards.
#[derive(Clone, Debug, Default)]
pub struct Take {
    /// Redis has to write an append-only file first: with `appendonly yes` and only a dump it would
    /// start empty.
    pub append_only_first: bool,
    /// PostgreSQL's system identifier, or Redis' number of keys.
    pub identity: Option<String>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// Checks whether a service can be taken.
///
/// # Errors
/// With what stands against it; nothing was changed.
pub async fn precheck(
    session: &Session,
    settings: &Settings,
    service: Service,
    container: &Container,
) -> anyhow::Result<Take> {
    if !container.is_healthy() {
        let what = format!(
            "{service} is not healthy now (container {}, {})",
            container.name, container.state
        );
        return refuse(what, "platform-ops up starts it as it was; then try again");
    }
    own_project(session, settings).await?;
    same_data(settings, service, container)?;
    same_image(session, settings, service, container).await?;
    match service {
        Service::Postgres => take_postgres(session, container).await,
        Service::Redis => take_redis(session, settings, container).await,
        Service::Pgbouncer => take_pgbouncer(session, settings, container).await,
        Service::Agent => take_agent(session, container),
    }
}

fn refuse<T>(what: String, hint: impl Into<String>) -> anyhow::Result<T> {
    Err(Failure::refused(what).try_next(hint).into())
}

/// Compose tells containers apart by project and service: a second stack of this project's name
/// would have its containers replaced by ours.
async fn own_project(session: &Session, settings: &Settings) -> anyhow::Result<()> {
    let project = &settings.names.project;
    let stack = session.root.stack().display().to_string();
    let containers = session
        .engine()
        .await?
        .containers_labelled(LABEL_PROJECT, project)
        .await?;
    let elsewhere = containers
        .iter()
        .filter_map(|container| container.label(LABEL_WORKING_DIR))
        .find(|folder| *folder != stack);
    match elsewhere {
        None => Ok(()),
        Some(folder) => refuse(
            format!("the compose project {project} is in use by {folder}"),
            "another name in platform.env: PLATFORM_PROJECT=…",
        ),
    }
}

fn same_data(settings: &Settings, service: Service, container: &Container) -> anyhow::Result<()> {
    let Some(path) = service.data_path() else {
        return Ok(());
    };
    let Some(mount) = container
        .mount_at(path)
        .filter(|mount| mount.kind == "bind")
    else {
        return refuse(
            format!(
                "the data of {service} are not in a folder of the host ({path} in container {})",
                container.name
            ),
            "stop it, copy them to a folder and mount that",
        );
    };
    let configured = settings
        .environment
        .get(&service.key("DATA"))
        .map(str::to_owned);
    let wanted = configured.unwrap_or_else(|| {
        format!(
            "{}/data/{}",
            settings.environment.get_or("PLATFORM_ROOT", "/srv"),
            service.default_data()
        )
    });
    if Path::new(&wanted) != Path::new(&mount.source) {
        return refuse(
            format!(
                "{service} has its data in {}, the stack would mount {wanted}",
                mount.source
            ),
            format!("{}={} in platform.env", service.key("DATA"), mount.source),
        );
    }
    Ok(())
}

/// Another image can mean another libc, and with it wrong text indexes; or a Redis without the
/// modules that its data need.
async fn same_image(
    session: &Session,
    settings: &Settings,
    service: Service,
    container: &Container,
) -> anyhow::Result<()> {
    let tag = stack::image_tag(settings, service).unwrap_or_default();
    let image = session.engine().await?.image(&tag).await?;
    let id = image
        .as_ref()
        .and_then(|image| image["Id"].as_str())
        .unwrap_or_default();
    if id == container.image_id {
        return Ok(());
    }
    let what = format!(
        "{service} runs image {}, {tag} means {}",
        container.image_id,
        if id.is_empty() {
            "none that is here"
        } else {
            id
        }
    );
    refuse(
        what,
        format!(
            "docker tag {} {tag}, or {}={} in platform.env",
            container.image_id,
            service.key("IMAGE"),
            container.image
        ),
    )
}

async fn take_postgres(session: &Session, container: &Container) -> anyhow::Result<Take> {
    let path = postgres::run(session, container, "postgres", "show data_directory").await?;
    if path.trim() != "/var/lib/postgresql/data" {
        return refuse(
            format!("the cluster lies in {} inside of its mount", path.trim()),
            "the stack knows /var/lib/postgresql/data only",
        );
    }
    let collations = postgres::run(session, container, "postgres", "select datname from pg_database where datallowconn and datcollversion <> pg_database_collation_actual_version(oid)").await?;
    let mut take = Take {
        identity: Some(identity(session, Service::Postgres, container, None).await?),
        ..Take::default()
    };
    if !collations.trim().is_empty() {
        take.notes.push(format!(
            "already now the collation is of another libc in: {}",
            collations.trim().replace('\n', ", ")
        ));
    }
    Ok(take)
}

async fn take_redis(
    session: &Session,
    settings: &Settings,
    container: &Container,
) -> anyhow::Result<Take> {
    let password = settings.environment.get("REDIS_PASSWORD");
    let engine = session.engine().await?;
    let stranger = engine
        .exec(&container.name, &["redis-cli", "ping"], "")
        .await?;
    if stranger.stdout.trim() == "PONG" {
        return refuse(
            "Redis wants no password now: applications that send none would be refused afterwards"
                .to_owned(),
            "give it REDIS_PASSWORD and the applications too, then take it",
        );
    }
    let mut config = BTreeMap::new();
    for name in [
        "dir",
        "appendonly",
        "appenddirname",
        "appendfilename",
        "maxmemory-policy",
    ] {
        let text = redis::run(session, container, password, &format!("CONFIG GET {name}")).await?;
        config.insert(
            name,
            text.lines().nth(1).unwrap_or_default().trim().to_owned(),
        );
    }
    let standard = [
        ("dir", "/data"),
        ("appenddirname", "appendonlydir"),
        ("appendfilename", "appendonly.aof"),
    ];
    if let Some((name, value)) = standard
        .into_iter()
        .find(|(name, value)| config[name] != *value)
    {
        return refuse(
            format!(
                "Redis has {name} {}, the stack {value}: it would start empty",
                config[name]
            ),
            "the stack cannot take it as it is",
        );
    }
    no_modules(session, container, password).await?;
    no_other_users(session, container, password).await?;
    let mut take = Take {
        append_only_first: config["appendonly"] == "no",
        identity: Some(identity(session, Service::Redis, container, password).await?),
        notes: Vec::new(),
    };
    if config["maxmemory-policy"] != "noeviction" {
        take.notes.push(format!(
            "maxmemory-policy is {} now and noeviction afterwards",
            config["maxmemory-policy"]
        ));
    }
    Ok(take)
}

/// The stack starts Redis with no module of its own: data of one could then not be loaded. Those
/// that are part of Redis have no path.
async fn no_modules(
    session: &Session,
    container: &Container,
    password: Option<&str>,
) -> anyhow::Result<()> {
    let list = redis::run(session, container, password, "MODULE LIST").await?;
    let words: Vec<&str> = list.lines().map(str::trim).collect();
    let value = |pair: &[&str], name: &str| (pair[0] == name).then(|| pair[1].to_owned());
    let paths = words.windows(2).filter_map(|pair| value(pair, "path"));
    let loaded: Vec<String> = paths.filter(|path| path.contains('/')).collect();
    if loaded.is_empty() {
        return Ok(());
    }
    refuse(
        format!(
            "Redis has modules loaded that the stack does not load: {}",
            loaded.join(", ")
        ),
        "the stack cannot take it as it is",
    )
}

/// The stack's list of users holds the default one only.
async fn no_other_users(
    session: &Session,
    container: &Container,
    password: Option<&str>,
) -> anyhow::Result<()> {
    let users = redis::run(session, container, password, "ACL USERS").await?;
    let users: Vec<&str> = users
        .lines()
        .map(str::trim)
        .filter(|user| !user.is_empty() && *user != "default")
        .collect();
    if users.is_empty() {
        return Ok(());
    }
    refuse(
        format!(
            "Redis has users that the stack would lose: {}",
            users.join(", ")
        ),
        "let the applications use the default user",
    )
}

async fn take_pgbouncer(
    session: &Session,
    settings: &Settings,
    container: &Container,
) -> anyhow::Result<Take> {
    let text = pgbouncer_file(session, container, "userlist.txt").await?;
    let known = |user: &str| {
        user == settings.postgres_user
            || user == crate::pooler::ADMIN_USER
            || settings.app_roles.iter().any(|role| role.user == user)
    };
    let users = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split_once('"'))
        .map(|(user, _)| user);
    let mut unknown: Vec<&str> = users.filter(|user| !known(user)).collect();
    unknown.dedup();
    if !unknown.is_empty() {
        return refuse(
            format!(
                "PgBouncer lets in users that platform.env does not know: {}",
                unknown.join(", ")
            ),
            "<NAME>_DB_USER and <NAME>_DB_PASSWORD in platform.env for each",
        );
    }
    Ok(Take {
        notes: vec!["clients of PgBouncer are disconnected and have to connect again".to_owned()],
        ..Take::default()
    })
}

/// What the agent reads must be what the stack mounts; its checkpoints go with its data.
fn take_agent(session: &Session, container: &Container) -> anyhow::Result<Take> {
    let wanted = session.root.join("config/agent");
    for name in ["agent.toml", "oci"] {
        let inside = format!("/etc/platform-agent/{name}");
        let source = container.mount_at(&inside).map(|mount| &mount.source);
        if let Some(source) = source.filter(|source| Path::new(source) != wanted.join(name)) {
            return refuse(
                format!(
                    "the agent reads {source} as {inside}, the stack mounts {}",
                    wanted.join(name).display()
                ),
                "copy it there, and start the agent by hand with that mount",
            );
        }
    }
    Ok(Take {
        notes: vec!["lines are shipped on from where the old container stopped".to_owned()],
        ..Take::default()
    })
}

/// What tells whether the same data are served.
///
/// # Errors
/// When the server does not answer.
pub async fn identity(
    session: &Session,
    service: Service,
    container: &Container,
    password: Option<&str>,
) -> anyhow::Result<String> {
    let text = match service {
        Service::Postgres => {
            postgres::run(
                session,
                container,
                "postgres",
                "select system_identifier from pg_control_system()",
            )
            .await?
        }
        Service::Redis => redis::run(session, container, password, "DBSIZE").await?,
        _ => String::new(),
    };
    let text = text.trim().to_owned();
    (!text.is_empty())
        .then_some(text)
        .with_context(|| format!("{service} does not say who it is"))
}
