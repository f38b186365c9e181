//! What platform.env means: names, ports, roles.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::failure::Failure;
use crate::service::Service;
use crate::session::Session;

/// What is no secret and every command needs; `up` leaves it readable for those who may not read
/// platform.env.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The compose project.
    pub project: String,
    /// The shared network.
    pub network: String,
    /// The container of each service that is in use.
    pub containers: BTreeMap<Service, String>,
    /// Those that a hand-made stack started and we only watch.
    pub adopted: BTreeSet<Service>,
}

impl Names {
    /// As the last `up` left them; the defaults before the first one.
    ///
    /// # Errors
    /// When the file is there and unreadable.
    pub fn load(session: &Session) -> anyhow::Result<Self> {
        let path = session.root.names();
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("read {}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Failure::refused(format!("there is no platform under {} yet", session.root.path().display()))
                    .try_next("platform-ops init on an empty host, platform-ops adopt on a running one, or --root")
                    .into())
            }
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// The services in use, in the order in which they start.
    pub fn services(&self) -> Vec<Service> {
        self.containers.keys().copied().collect()
    }
}

/// A role that applications use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppRole {
    /// The database user.
    pub user: String,
    /// The key of its password.
    pub key: String,
    /// The database that it is for.
    pub database: String,
}

impl AppRole {
    /// Of the application whose keys begin with `prefix`: `TRADING_APP`.
    pub fn of(environment: &Environment, prefix: &str) -> Self {
        let name = prefix.to_lowercase();
        // trading_app's is trading_db, librarian's is librarian_db.
        let database = format!("{}_db", name.strip_suffix("_app").unwrap_or(&name));
        Self {
            user: environment.get_or(&format!("{prefix}_DB_USER"), &format!("{name}_user")),
            database: environment.get_or(&format!("{prefix}_DB_NAME"), &database),
            key: format!("{prefix}{APP_PASSWORD}"),
        }
    }

    /// The application's name, as of its folder: `trading-app`.
    pub fn application(&self) -> String {
        let prefix = self.key.strip_suffix(APP_PASSWORD).unwrap_or(&self.key);
        prefix.to_lowercase().replace('_', "-")
    }
}

/// What platform.env means.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is no secret.
    pub names: Names,
    /// `<address>:<port>` at which a service is published.
    pub publish: BTreeMap<Service, String>,
    /// The superuser of PostgreSQL.
    pub postgres_user: String,
    /// Roles of applications, in the order of their keys.
    pub app_roles: Vec<AppRole>,
    /// The file itself.
    pub environment: Environment,
}

/// Keys without which nothing runs.
pub const REQUIRED: [&str; 4] = [
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "PGBOUNCER_ADMIN_PASSWORD",
];
const APP_PASSWORD: &str = "_DB_PASSWORD";

impl Settings {
    /// Reads platform.env.
    ///
    /// # Errors
    /// When it is not readable, or a key is missing or makes no sense; names the key.
    pub fn load(session: &Session) -> anyhow::Result<Self> {
        Self::of(Environment::load(session)?)
    }

    /// Makes sense of an environment.
    ///
    /// # Errors
    /// When a key is missing or makes no sense; names the key.
    pub fn of(environment: Environment) -> anyhow::Result<Self> {
        let missing: Vec<&str> = REQUIRED
            .into_iter()
            .filter(|key| environment.get(key).is_none())
            .collect();
        if !missing.is_empty() {
            let what = format!("platform.env does not set {}", missing.join(", "));
            return Err(Failure::refused(what)
                .try_next("platform-ops init adds what is missing")
                .into());
        }
        let agent = environment.get("PLATFORM_AGENT").is_some_and(is_on);
        let in_use = |service: &Service| *service != Service::Agent || agent;
        let container = |service: Service| {
            (
                service,
                environment.get_or(&service.key("CONTAINER"), service.default_container()),
            )
        };
        let publish = |service: Service| {
            Some((
                service,
                environment.get(&service.key("PUBLISH"))?.to_owned(),
            ))
        };
        let names = Names {
            project: environment.get_or("PLATFORM_PROJECT", "platform"),
            network: environment.get_or("PLATFORM_NETWORK", "central-data-platform"),
            containers: Service::ALL
                .into_iter()
                .filter(in_use)
                .map(container)
                .collect(),
            adopted: adopted(&environment)?,
        };
        Ok(Self {
            names,
            publish: Service::ALL.into_iter().filter_map(publish).collect(),
            postgres_user: environment.get_or("POSTGRES_USER", ""),
            app_roles: app_roles(&environment),
            environment,
        })
    }

    /// The services that the stack itself runs, in the order in which they start.
    pub fn managed(&self) -> Vec<Service> {
        let services = self.names.services().into_iter();
        services
            .filter(|service| !self.names.adopted.contains(service))
            .collect()
    }
}

/// Whether a switch is on.
pub fn is_on(value: &str) -> bool {
    matches!(value, "on" | "true" | "yes" | "1")
}

fn adopted(environment: &Environment) -> anyhow::Result<BTreeSet<Service>> {
    let list = environment.get_or("PLATFORM_ADOPTED", "");
    let names = list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    names
        .map(|name| {
            let service = Service::ALL
                .into_iter()
                .find(|service| service.name() == name);
            service.with_context(|| {
                Failure::usage(format!(
                    "platform.env: PLATFORM_ADOPTED: {name} is no service"
                ))
            })
        })
        .collect()
}

/// `<NAME>_DB_PASSWORD` belongs to `<NAME>_DB_USER`, which is `<name>_user` where it is not set, and
/// to the database `<NAME>_DB_NAME`, which is `<name>_db` without `_app`.
fn app_roles(environment: &Environment) -> Vec<AppRole> {
    let keys = environment
        .values()
        .iter()
        .filter(|(_, value)| !value.is_empty());
    keys.filter_map(|(key, _)| {
        let prefix = key.strip_suffix(APP_PASSWORD)?;
        Some(AppRole::of(environment, prefix))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const REQUIRED_SET: &str =
        "POSTGRES_USER=a\nPOSTGRES_PASSWORD=b\nREDIS_PASSWORD=c\nPGBOUNCER_ADMIN_PASSWORD=d\n";

    #[test]
    fn the_manuals_key_belongs_to_the_manuals_role() {
        let text = format!(
            "{REQUIRED_SET}TRADING_APP_DB_PASSWORD=6432\nX_DB_PASSWORD=1\nX_DB_USER=someone\n"
        );
        let settings = Settings::of(Environment::parse(&text).unwrap()).unwrap();
        let users: Vec<&str> = settings
            .app_roles
            .iter()
            .map(|role| role.user.as_str())
            .collect();
        assert_eq!(users, ["trading_app_user", "someone"]);
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = Settings::of(Environment::parse("POSTGRES_USER=a\n").unwrap()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("POSTGRES_PASSWORD, REDIS_PASSWORD"),
            "{error}"
        );
    }
}
