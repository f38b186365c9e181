//! What a fresh install needs, looked at before anything is changed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytesize::ByteSize;

use super::{Kind, Scene, Step};
use crate::backup::catalog::Catalog;
use crate::backup::pooler::Pooler;
use crate::backup::server::Server;
use crate::database::access::{self, Access, NewRole};
use crate::database::alembic::{Migrator, Verb};
use crate::database::extension;
use crate::database::journal::{Journal, Phase};
use crate::database::listing::{self, Entry};
use crate::database::name;
use crate::database::script::Script;
use crate::disk;
use crate::failure::Failure;
use crate::plan::{Consent, Plan};
use crate::session::Session;
use crate::settings::Settings;
use crate::side_name::{self, Side};

/// Where the official image keeps its data, up to version 17.
const DATA: &str = "/var/lib/postgresql/data";
/// Rows and indexes take more than the text that makes them.
const BYTES_PER_SCRIPT_BYTE: u64 = 3;

/// What is asked for.
#[derive(Debug, Default)]
pub struct Request {
    /// The database.
    pub database: String,
    /// Login roles, instead of those that platform.env names for it.
    pub roles: Vec<String>,
    /// Its owner, instead of the one named after it.
    pub owner: Option<String>,
    /// The application, instead of the one whose keys name the database.
    pub application: Option<String>,
    /// The schema, instead of the application's init.sql.
    pub script: Option<PathBuf>,
    /// Without a schema.
    pub no_script: bool,
    /// Extensions, instead of the old database's.
    pub extensions: Vec<String>,
    /// The migrator's service.
    pub migrator: Option<String>,
    /// What the migrator is told, instead of what the database demands.
    pub verb: Option<Verb>,
    /// Without the migrator.
    pub no_migrator: bool,
}

/// Looks at what is there, refuses what cannot go well, and plans the rest.
///
/// # Errors
/// What stands in the way.
pub async fn plan(
    session: &Session,
    settings: &Settings,
    server: Server,
    request: &Request,
) -> anyhow::Result<(Arc<Scene>, Plan<Step>)> {
    let database = request.database.as_str();
    name::check(database)?;
    let (access, application) = access_of(settings, request)?;
    let there = access::roles(&server).await?;
    access.check(&there)?;
    let left = Journal::load(&session.root, database)?;
    let entries = listing::list(&server).await?;
    let journal = match &left {
        Some(left) => Journal {
            extensions: extensions(&server, request, Some(left)).await?,
            ..left.clone()
        },
        None => begin(&server, request, &entries).await?,
    };
    let migrator = match &application {
        Some(application) if !request.no_migrator => {
            Migrator::find(session, application, request.migrator.as_deref()).await?
        }
        _ => None,
    };
    let script = script_of(session, request, application.as_deref())?;
    let made = script
        .as_ref()
        .map(|script| script.extensions.clone())
        .unwrap_or_default();
    let journal = Journal {
        extensions: journal
            .extensions
            .into_iter()
            .filter(|name| !made.contains(name))
            .collect(),
        ..journal
    };
    extension::require(&server, &[&journal.extensions[..], &made].concat()).await?;
    require_room(session, settings, &server, script.as_ref()).await?;
    let scene = Arc::new(Scene {
        missing: NewRole::missing(settings, &access, &there)?,
        pooler: Pooler::find(session).await?,
        migrator: migrator.map(|migrator| (migrator, request.verb)),
        server,
        access,
        script,
        journal,
        begun: AtomicBool::new(false),
    });
    let mut plan = Plan::new("db fresh-install");
    push_steps(&mut plan, &scene, left.as_ref());
    notes(&mut plan, &scene, &entries).await?;
    Ok((scene, plan))
}

fn push_steps(plan: &mut Plan<Step>, scene: &Arc<Scene>, left: Option<&Journal>) {
    let goes_on = left.is_some_and(|left| left.phase == Phase::Built);
    let mut kinds = Vec::new();
    if left.is_some() && !goes_on {
        kinds.push(Kind::PutBack);
    }
    if !goes_on {
        kinds.extend([Kind::Roles, Kind::Create]);
    }
    kinds.extend(scene.pooler.is_some().then_some(Kind::Pause));
    if !goes_on {
        kinds.push(Kind::Swap);
        kinds.extend(scene.script.is_some().then_some(Kind::Script));
        kinds.push(Kind::Grant);
    }
    kinds.extend(scene.migrator.is_some().then_some(Kind::Migrate));
    kinds.push(Kind::Resume);
    for kind in kinds {
        plan.push(Step::new(kind, scene));
    }
    // What has the name since a run was cut short may be somebody else's.
    if scene.journal.kept.is_some() || left.is_some() {
        plan.require(Consent::Name(scene.journal.database.clone()));
    }
}

/// Roles and application: those of the request, else those whose keys name the database.
fn access_of(settings: &Settings, request: &Request) -> anyhow::Result<(Access, Option<String>)> {
    let database = &request.database;
    let mut access = Access::of(settings, database, request.owner.as_deref());
    if !request.roles.is_empty() {
        access.roles.clone_from(&request.roles);
    }
    if access.roles.is_empty() {
        let roles = settings.app_roles.iter();
        let known: Vec<&str> = roles.map(|role| role.database.as_str()).collect();
        let what = format!("no key of platform.env says whose database {database} is");
        let hint = format!(
            "NAME_DB_NAME={database} beside NAME_DB_PASSWORD, --role ROLE, or one of: {}",
            known.join(", ")
        );
        return Err(Failure::usage(what).try_next(hint).into());
    }
    let application = request.application.clone();
    let application = application.or_else(|| Access::application(settings, database));
    Ok((access, application))
}

async fn begin(server: &Server, request: &Request, entries: &[Entry]) -> anyhow::Result<Journal> {
    let database = request.database.as_str();
    let stamp = side_name::stamp(entries.iter().map(|entry| entry.name.as_str()))?;
    let is_there = entries.iter().any(|entry| entry.name == database);
    Ok(Journal {
        database: database.to_owned(),
        fresh: Side::Fresh.name(database, &stamp),
        kept: is_there.then(|| Side::Before.name(database, &stamp)),
        extensions: match is_there {
            true => extensions(server, request, None).await?,
            // Only a superuser can make it, so neither script nor migrator could.
            false if request.extensions.is_empty() => vec!["vector".to_owned()],
            false => request.extensions.clone(),
        },
        phase: Phase::Begun,
    })
}

/// Those of the request, else those of the old database; of a run that was cut short what it knew.
async fn extensions(
    server: &Server,
    request: &Request,
    left: Option<&Journal>,
) -> anyhow::Result<Vec<String>> {
    match left {
        _ if !request.extensions.is_empty() => Ok(request.extensions.clone()),
        Some(left) => Ok(left.extensions.clone()),
        None => extension::of(server, &request.database).await,
    }
}

fn script_of(
    session: &Session,
    request: &Request,
    application: Option<&str>,
) -> anyhow::Result<Option<Script>> {
    if request.no_script {
        return Ok(None);
    }
    if let Some(path) = &request.script {
        return Script::read(path, &request.database).map(Some);
    }
    let own = application.map(|name| session.root.apps().join(name).join("init.sql"));
    match own {
        Some(path) if path.is_file() => Script::read(&path, &request.database).map(Some),
        own => {
            let place = own.map_or("no application is known".to_owned(), |path| {
                format!("there is no {}", path.display())
            });
            Err(Failure::refused(format!(
                "the schema of {} is not known: {place}",
                request.database
            ))
            .try_next("--init FILE, or --no-init to let the migrator make everything")
            .into())
        }
    }
}

/// The new database has to fit beside the old one.
async fn require_room(
    session: &Session,
    settings: &Settings,
    server: &Server,
    script: Option<&Script>,
) -> anyhow::Result<()> {
    let container = session
        .engine()
        .await?
        .container(&server.place().container)
        .await?;
    let data = container
        .as_ref()
        .and_then(|container| container.mount_at(DATA));
    let Some(data) = data else {
        return disk::require_room(&session.root);
    };
    let template = listing::list(server)
        .await?
        .iter()
        .map(|entry| entry.bytes)
        .min()
        .unwrap_or(0);
    let script = script.map_or(0, |script| script.text.len() as u64 * BYTES_PER_SCRIPT_BYTE);
    let wanted = disk::FLOOR_BYTES + template + script;
    let room = disk::room(data.source.as_ref())?;
    if room.bytes_free >= wanted {
        return Ok(());
    }
    let what = format!(
        "{} left in {}, and {} are needed for a second database above the floor",
        ByteSize(room.bytes_free),
        data.source,
        ByteSize(wanted)
    );
    let hint = format!(
        "platform-ops db list shows what is kept; data of {} lie there",
        settings.names.project
    );
    Err(Failure::refused(what).try_next(hint).into())
}

/// What the operator should know before agreeing.
async fn notes(plan: &mut Plan<Step>, scene: &Scene, entries: &[Entry]) -> anyhow::Result<()> {
    let Journal { database, kept, .. } = &scene.journal;
    if let Some(script) = &scene.script
        && !script.is_one_transaction()
    {
        for why in &script.apart {
            plan.note(format!("{}: {why}", script.path.display()));
        }
        plan.note("so it cannot be one transaction; if it fails, the old database is put back all the same");
    }
    if scene.pooler.is_none() {
        plan.note("PgBouncer does not run: clients are not held back, they fail");
    }
    let Some(kept) = kept else {
        return Ok(());
    };
    let find = |name: &str| entries.iter().find(|entry| entry.name == name);
    let old = if find(kept).is_some() { kept } else { database };
    if let Some(old) = find(old) {
        plan.note(format!(
            "{database} with its {} becomes {kept}; {} sessions end",
            ByteSize(old.bytes),
            old.sessions
        ));
    }
    for role in others(scene, old).await? {
        plan.note(format!(
            "{role} has privileges on {database} as it is, and gets none on the new one"
        ));
    }
    plan.note(format!("undo: platform-ops db undo {database}"));
    plan.note(format!(
        "free it, when nobody misses it: platform-ops db drop {kept}"
    ));
    Ok(())
}

/// Grantees on the old database who are not its application's.
async fn others(scene: &Scene, old: &str) -> anyhow::Result<Vec<String>> {
    let catalog = Catalog::read(&scene.server).await?;
    let belongings = catalog.of(old);
    let grants = belongings
        .into_iter()
        .flat_map(|all| all.grants.iter().flatten());
    let known = |name: &String| {
        scene.access.roles.contains(name)
            || *name == scene.access.owner
            || *name == scene.server.place().user
            || belongings.is_some_and(|all| all.owner == *name)
    };
    let mut others: Vec<String> = grants
        .filter_map(|grant| grant.grantee.clone())
        .filter(|name| !known(name))
        .collect();
    others.sort();
    others.dedup();
    Ok(others)
}
