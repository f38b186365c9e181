//! Whose secret is meant.

use super::{Login, Way};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::pooler::ADMIN_USER;
use crate::settings::Settings;

/// Two login roles that take turns end with these.
const TURNS: [&str; 2] = ["_a", "_b"];
/// References among keys go no deeper.
const REFERENCES_MAX: usize = 8;

/// A secret that can be rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How.
    pub way: Way,
    /// The user of the server.
    pub user: String,
    /// The key of the secret.
    pub key: String,
}

/// Every secret that a server of the platform knows.
fn targets(settings: &Settings) -> Vec<Target> {
    let target = |way: Way, user: &str, key: &str| Target {
        way,
        user: user.to_owned(),
        key: key.to_owned(),
    };
    let mut targets = vec![
        target(Way::SameRole, &settings.postgres_user, "POSTGRES_PASSWORD"),
        target(Way::Redis, "redis", "REDIS_PASSWORD"),
        target(Way::Console, ADMIN_USER, "PGBOUNCER_ADMIN_PASSWORD"),
    ];
    for role in &settings.app_roles {
        let owner = settings.environment.get(&owner_key(&role.key));
        let way = owner.map_or(Way::SameRole, |owner| Way::Alternate {
            owner: owner.to_owned(),
        });
        targets.push(target(way, &role.user, &role.key));
    }
    targets
}

/// The key of the name that belongs to a password's key.
pub fn user_key(key: &str) -> String {
    format!("{}_USER", key.strip_suffix("_PASSWORD").unwrap_or(key))
}

/// The key of the role whose rights both login roles have; it is set once there are two.
pub fn owner_key(key: &str) -> String {
    format!("{}_OWNER", key.strip_suffix("_PASSWORD").unwrap_or(key))
}

/// The login role whose turn it is after this one.
fn next_turn(owner: &str, user: &str) -> String {
    let turn = if user.ends_with(TURNS[0]) {
        TURNS[1]
    } else {
        TURNS[0]
    };
    format!("{owner}{turn}")
}

/// Finds what is meant by a role's name or a key; with `alternate` a role gets a second login role.
///
/// # Errors
/// When it is none, or shares its secret with another.
pub fn resolve(settings: &Settings, name: &str, alternate: bool) -> anyhow::Result<Target> {
    let all = targets(settings);
    let is_meant = |target: &&Target| {
        let owner = matches!(&target.way, Way::Alternate { owner } if owner == name);
        target.user == name || target.key == name || owner
    };
    let meant: Vec<&Target> = all.iter().filter(is_meant).collect();
    let [target] = meant.as_slice() else {
        let names: Vec<&str> = all.iter().map(|target| target.user.as_str()).collect();
        let what = match meant.as_slice() {
            [] => format!("{name} is no role of platform.env"),
            _ => format!("{name} is meant by several keys of platform.env"),
        };
        return Err(Failure::usage(what)
            .try_next(format!("one of: {}", names.join(", ")))
            .into());
    };
    let mut target = (*target).clone();
    if alternate && target.way == Way::SameRole {
        if target.key == "POSTGRES_PASSWORD" {
            return Err(Failure::usage("--alternate is for roles of applications").into());
        }
        target.way = Way::Alternate {
            owner: target.user.clone(),
        };
    }
    let holder = holder(&settings.environment, &target.key);
    let shares = |other: &&Target| {
        other.key != target.key && self::holder(&settings.environment, &other.key) == holder
    };
    if let Some(other) = all.iter().find(shares) {
        let what = format!(
            "{} and {} are one secret of two servers' users",
            target.key, other.key
        );
        return Err(Failure::refused(what)
            .try_next(format!("give {} a value of its own first", other.key))
            .into());
    }
    Ok(target)
}

/// The key at which a value stands, through `A=${B}`.
pub fn holder(environment: &Environment, key: &str) -> String {
    let mut holder = key.to_owned();
    for _ in 0..REFERENCES_MAX {
        let entry = environment
            .entries()
            .iter()
            .rfind(|entry| entry.key == holder);
        let literal = entry.and_then(|entry| entry.literal.as_deref());
        match literal.and_then(|literal| literal.strip_prefix("${")?.strip_suffix('}')) {
            Some(next) if environment.get(next).is_some() => holder = next.to_owned(),
            _ => break,
        }
    }
    holder
}

impl Target {
    /// What is in force now, by platform.env.
    pub fn current(&self, settings: &Settings) -> Login {
        Login {
            user: self.user.clone(),
            secret: settings.environment.get_or(&self.key, ""),
        }
    }

    /// Who logs in after the rotation.
    pub fn next_user(&self) -> String {
        match &self.way {
            Way::Alternate { owner } => next_turn(owner, &self.user),
            _ => self.user.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn settings(more: &str) -> Settings {
        let text = format!(
            "POSTGRES_USER=admin\nPOSTGRES_PASSWORD=p\nREDIS_PASSWORD=r\nPGBOUNCER_ADMIN_PASSWORD=c\n{more}"
        );
        Settings::of(Environment::parse(&text).unwrap()).unwrap()
    }

    #[test]
    fn a_role_is_found_by_its_name_its_key_and_its_owner() {
        let settings =
            settings("X_DB_PASSWORD=x\nX_DB_USER=x_user_a\nX_DB_OWNER=x_user\nY_DB_PASSWORD=y\n");
        let by_owner = resolve(&settings, "x_user", false).unwrap();
        assert_eq!(
            by_owner,
            resolve(&settings, "X_DB_PASSWORD", false).unwrap()
        );
        assert_eq!(by_owner, resolve(&settings, "x_user_a", true).unwrap());
        assert_eq!(next_turn("x_user", "x_user_a"), "x_user_b");
        assert_eq!(next_turn("y_user", "y_user"), "y_user_a");
        let same = resolve(&settings, "y_user", false).unwrap();
        assert_eq!(same.way, Way::SameRole);
        assert!(resolve(&settings, "nobody", false).is_err());
        assert!(resolve(&settings, "admin", true).is_err());
    }

    #[test]
    fn a_secret_is_changed_where_it_stands_and_never_for_two() {
        let shared = settings("REAL=x\nX_DB_PASSWORD=${REAL}\n");
        assert_eq!(holder(&shared.environment, "X_DB_PASSWORD"), "REAL");
        assert!(resolve(&shared, "x_user", false).is_ok());
        let two = settings("X_DB_PASSWORD=${POSTGRES_PASSWORD}\n");
        assert!(resolve(&two, "x_user", false).is_err());
        assert!(resolve(&two, "admin", false).is_err());
    }
}
