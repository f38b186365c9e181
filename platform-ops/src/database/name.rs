//! Names of databases: which can be had, and which of them this program gave.

use jiff::Timestamp;

use crate::backup::swap::limited;
use crate::failure::Failure;

/// The server's own.
const RESERVED: [&str; 4] = ["postgres", "template0", "template1", "pgbouncer"];
/// PostgreSQL cuts longer names (`NAMEDATALEN` is 64).
const BYTES_MAX: usize = 63;

/// A database that was set aside and refuses connections, as a pattern of PostgreSQL.
pub const KEPT_PATTERN: &str = "__(before|undone|restore|fresh)_[0-9]{14}$";

/// Refuses a name that no database of an application can have.
///
/// # Errors
/// Says why.
pub fn check(name: &str) -> Result<(), Failure> {
    if RESERVED.contains(&name) || name.starts_with("pg_") {
        return Err(Failure::usage(format!("{name} belongs to the server")));
    }
    let is_plain = !name.is_empty() && !name.chars().any(char::is_control);
    if !is_plain || name.len() > BYTES_MAX {
        let what = format!("{name:?} is no name: 1 to {BYTES_MAX} bytes, no control characters");
        return Err(Failure::usage(what));
    }
    Ok(())
}

/// The role that owns a database and everything in it: `trading_owner` of `trading_db`.
pub fn owner_of(database: &str) -> String {
    limited(database.strip_suffix("_db").unwrap_or(database), "_owner")
}

/// A moment, as it stands in names.
pub fn stamp() -> String {
    Timestamp::now().strftime("%Y%m%d%H%M%S").to_string()
}

/// What a database is called when another one takes its place.
pub fn kept(database: &str, stamp: &str) -> String {
    limited(database, &format!("__before_{stamp}"))
}

/// Whether a name is one that [`kept`] gives.
pub fn is_kept_of(name: &str, database: &str) -> bool {
    let stamp = name.rsplit("__before_").next().unwrap_or_default();
    let is_stamp = stamp.len() == 14 && stamp.bytes().all(|byte| byte.is_ascii_digit());
    is_stamp && kept(database, stamp) == name
}

/// What a database is called until it takes its place.
pub fn fresh(database: &str, stamp: &str) -> String {
    limited(database, &format!("__fresh_{stamp}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_and_what_is_no_name_are_refused() {
        for name in ["postgres", "template1", "pg_x", "", "a\nb", &"x".repeat(64)] {
            assert!(check(name).is_err(), "{name}");
        }
        assert!(check("odd = name").is_ok());
    }

    #[test]
    fn a_kept_database_is_known_by_its_name() {
        for name in ["trading_db", &"x".repeat(63)] {
            assert!(is_kept_of(&kept(name, "20260102030405"), name), "{name}");
        }
        for other in [
            "trading_db",
            "trading_db__before_2026",
            "other__before_20260102030405",
        ] {
            assert!(!is_kept_of(other, "trading_db"), "{other}");
        }
    }

    #[test]
    fn an_owner_is_named_after_its_database() {
        assert_eq!(owner_of("trading_db"), "trading_owner");
        assert_eq!(owner_of("ledger"), "ledger_owner");
        assert_eq!(owner_of(&"x".repeat(63)).len(), 63);
    }
}
