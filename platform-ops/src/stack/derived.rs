//! Files rendered from platform.env: marked as derived, compared, replaced when they differ.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use ring::digest;

use crate::file::Access;
use crate::host_file::HOST_FILES;
use crate::image::ImageLock;
use crate::root::Root;
use crate::service::Service;
use crate::settings::Settings;

/// The stack, as it is laid out beside the rendered override.
pub const COMPOSE_YAML: &str = include_str!("../../../deploy/compose.yaml");
const AGENT_COMPOSE_YAML: &str = include_str!("../../../deploy/agent/compose.yaml");
const AGENT_TOML: &str = include_str!("../../../deploy/agent/agent.toml");
const PGBOUNCER_INI: &str = include_str!("../../../deploy/config/pgbouncer/pgbouncer.ini");
const REDIS_CONF: &str = include_str!("../../../deploy/config/redis/redis.conf");

const MARK: &str =
    "# Derived from platform.env by `platform-ops up`: changes made here are undone.\n";
/// The user of the Redis image.
const REDIS_UID: u32 = 999;
/// The user of Percona's PgBouncer image.
const PGBOUNCER_UID: u32 = 1001;

/// A file that has to be there as it is here.
#[derive(Clone, PartialEq, Eq)]
pub struct Derived {
    /// Where.
    pub path: PathBuf,
    /// Owner and mode.
    pub access: Access,
    /// What it holds; may be a secret.
    pub content: String,
    /// Written only where there is none: the operator edits it.
    pub seed: bool,
}

/// The folders under the root, outermost first. Data folders belong to their service, so only
/// that they exist is asked of them.
pub fn folders(root: &Root) -> Vec<(PathBuf, Access)> {
    vec![
        (root.path().to_owned(), Access::root(0o755)),
        // Nobody but root comes past this: what lies below may then belong to a container's uid,
        // which may be a person's on the host.
        (root.config(), Access::root(0o700)),
        (root.join("config/postgres"), Access::root(0o700)),
        (root.join("config/redis"), Access::of(REDIS_UID, 0o700)),
        (
            root.join("config/pgbouncer"),
            Access::of(PGBOUNCER_UID, 0o700),
        ),
        (root.join("config/agent"), Access::root(0o700)),
        (root.join("config/agent/oci"), Access::root(0o700)),
        (root.host_masters(), Access::root(0o700)),
        (root.apps(), Access::root(0o755)),
        (root.stack(), Access::root(0o755)),
        (root.join("apps/platform/agent"), Access::root(0o755)),
        (root.data(), Access::root(0o755)),
        (root.state(), Access::root(0o755)),
        (root.backups(), Access::root(0o700)),
    ]
}

/// Every file that platform.env determines.
///
/// # Errors
/// When a value cannot stand in the file it has to go to; names the key.
pub fn derived(root: &Root, settings: &Settings, lock: &ImageLock) -> anyhow::Result<Vec<Derived>> {
    let secret = |key: &str| settings.environment.get_or(key, "");
    let file = |path: &str, access: Access, content: String| Derived {
        path: root.join(path),
        access,
        content,
        seed: false,
    };
    let mut files = vec![
        file(
            "apps/platform/compose.yaml",
            Access::root(0o644),
            COMPOSE_YAML.to_owned(),
        ),
        file(
            "apps/platform/agent/compose.yaml",
            Access::root(0o644),
            AGENT_COMPOSE_YAML.to_owned(),
        ),
        file(
            "apps/platform/compose.override.yaml",
            Access::root(0o644),
            overrides(settings, lock),
        ),
        file(
            "config/postgres/password",
            Access::root(0o400),
            secret("POSTGRES_PASSWORD"),
        ),
        file(
            "config/redis/redis.conf",
            Access::of(REDIS_UID, 0o400),
            redis_conf(settings),
        ),
        file(
            "config/redis/users.acl",
            Access::of(REDIS_UID, 0o400),
            redis_users(&[&secret("REDIS_PASSWORD")]),
        ),
        file(
            "config/redis/password",
            Access::root(0o400),
            secret("REDIS_PASSWORD"),
        ),
        file(
            "config/pgbouncer/pgbouncer.ini",
            Access::of(PGBOUNCER_UID, 0o400),
            pgbouncer_ini(settings),
        ),
        file(
            "config/pgbouncer/userlist.txt",
            Access::of(PGBOUNCER_UID, 0o400),
            userlist(settings)?,
        ),
        file(
            "data/platform-ops/stack.json",
            Access::root(0o644),
            serde_json::to_string(&settings.names)?,
        ),
    ];
    keep_out_of_adopted(root, settings, &mut files);
    host_masters(root, &mut files);
    files.push(Derived {
        seed: true,
        ..file(
            "config/agent/agent.toml",
            Access::root(0o600),
            AGENT_TOML.to_owned(),
        )
    });
    Ok(files)
}

/// What a hand-made stack reads is not ours to write.
fn keep_out_of_adopted(root: &Root, settings: &Settings, files: &mut Vec<Derived>) {
    let adopted = |service: &Service| settings.names.adopted.contains(service);
    let foreign: Vec<PathBuf> = Service::ALL
        .iter()
        .filter(|service| adopted(service))
        .map(|service| root.config().join(service.name()))
        .collect();
    files.retain(|file| !foreign.iter().any(|folder| file.path.starts_with(folder)));
}

fn host_masters(root: &Root, files: &mut Vec<Derived>) {
    for host_file in HOST_FILES {
        if let Some(content) = host_file.wanted() {
            files.push(Derived {
                path: host_file.master(root),
                access: Access::root(0o600),
                content,
                seed: host_file.content.is_none(),
            });
        }
    }
}

/// compose.override.yaml: what Compose cannot take from a variable.
fn overrides(settings: &Settings, lock: &ImageLock) -> String {
    let mut text = MARK.to_owned();
    text += "services:\n";
    for service in Service::ALL {
        let mut lines = String::new();
        let tag = image_tag(settings, service);
        if let Some(pinned) = tag.and_then(|tag| lock.pinned(service, &tag)) {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "    image: {pinned}");
        }
        if let (Some(address), Some(port)) = (settings.publish.get(&service), service.port()) {
            let _ = writeln!(lines, "    ports: [\"{address}:{port}\"]");
        }
        // SELinux keeps containers from each other's logs; this lifts it for the agent alone.
        let label = settings.environment.get(&service.key("LABEL"));
        if service == Service::Agent && label == Some("disable") {
            lines += "    security_opt: [label=disable]\n";
        }
        // A profile that nobody asks for: `docker compose up` passes it over.
        if settings.names.adopted.contains(&service) {
            lines += "    profiles: [adopted]\n";
        } else if !settings.names.containers.contains_key(&service) {
            lines += "    profiles: [unused]\n";
        }
        if lines.is_empty() {
            let _ = writeln!(text, "  {service}: {{}}");
        } else {
            let _ = write!(text, "  {service}:\n{lines}");
        }
    }
    text
}

/// The tag of a service's image: platform.env's, else compose.yaml's.
pub fn image_tag(settings: &Settings, service: Service) -> Option<String> {
    let configured = settings
        .environment
        .get(&service.key("IMAGE"))
        .map(str::to_owned);
    configured.or_else(|| default_image(service))
}

/// The tag of a service's image where platform.env names none.
pub fn default_image(service: Service) -> Option<String> {
    let compose_yaml = match service {
        Service::Agent => AGENT_COMPOSE_YAML,
        _ => COMPOSE_YAML,
    };
    crate::image::default_tag(service, compose_yaml)
}

fn redis_conf(settings: &Settings) -> String {
    let maxmemory = settings
        .environment
        .get_or("PLATFORM_REDIS_MAXMEMORY", "768mb");
    REDIS_CONF.replace("{maxmemory}", &maxmemory)
}

/// Redis' users: one, with every password that is let in. Digests only: Redis compares digests.
pub fn redis_users(passwords: &[&str]) -> String {
    let digests: String = passwords
        .iter()
        .map(|password| format!(" #{}", redis_digest(password)))
        .collect();
    format!("user default on{digests} ~* &* +@all\n")
}

/// A password as Redis' ACL has it after a `#`.
pub fn redis_digest(password: &str) -> String {
    let digest = digest::digest(&digest::SHA256, password.as_bytes());
    let bytes = digest.as_ref().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

fn pgbouncer_ini(settings: &Settings) -> String {
    let environment = &settings.environment;
    let host = &settings.names.containers[&Service::Postgres];
    PGBOUNCER_INI
        .replace("{postgres_host}", host)
        .replace(
            "{pool_mode}",
            &environment.get_or("PLATFORM_PGBOUNCER_POOL_MODE", "transaction"),
        )
        .replace(
            "{pool_size}",
            &environment.get_or("PLATFORM_PGBOUNCER_POOL_SIZE", "20"),
        )
        .replace(
            "{max_client_conn}",
            &environment.get_or("PLATFORM_PGBOUNCER_MAX_CLIENT_CONN", "500"),
        )
}

/// userlist.txt holds passwords as they are: SCRAM secrets would cut connected clients off at each
/// rotation, and md5 ones do not log in to a SCRAM server at all.
fn userlist(settings: &Settings) -> anyhow::Result<String> {
    let admin = [
        ("pgbouncer_admin", "PGBOUNCER_ADMIN_PASSWORD"),
        (settings.postgres_user.as_str(), "POSTGRES_PASSWORD"),
    ];
    let apps = settings
        .app_roles
        .iter()
        .map(|role| (role.user.as_str(), role.key.as_str()));
    // PgBouncer takes # for no comment here, ; for one at the start of a line.
    let mut text =
        ";; Derived from platform.env by `platform-ops up`: changes made here are undone.\n"
            .to_owned();
    for (user, key) in admin.into_iter().chain(apps) {
        let value = settings.environment.get_or(key, "");
        let fits = !value.contains(['\n', '\r', '\0']) && !user.contains(['\n', '\r', '\0']);
        anyhow::ensure!(
            fits,
            "{key}: a line break cannot stand in PgBouncer's userlist"
        );
        let _ = writeln!(
            text,
            "\"{}\" \"{}\"",
            user.replace('"', "\"\""),
            value.replace('"', "\"\"")
        );
    }
    Ok(text)
}

impl Derived {
    /// How the file on disk differs, in a word; None when it does not.
    ///
    /// # Errors
    /// When it cannot be read for another reason than that it is not there.
    pub fn difference(&self) -> anyhow::Result<Option<&'static str>> {
        let failed = || format!("read {}", self.path.display());
        match std::fs::read(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Some("missing"));
            }
            Err(error) => return Err(error).with_context(failed),
            Ok(_) if self.seed => return Ok(None),
            Ok(content) if content != self.content.as_bytes() => return Ok(Some("content")),
            Ok(_) => {}
        }
        let access = Access::read(&self.path).with_context(failed)?;
        Ok((access != self.access).then_some("owner or mode"))
    }
}
