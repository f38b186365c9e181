//! Names of databases and of their owners.

use crate::failure::Failure;
use crate::side_name::{BYTES_MAX, limited};

/// The server's own.
const RESERVED: [&str; 4] = ["postgres", "template0", "template1", "pgbouncer"];

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
    fn an_owner_is_named_after_its_database() {
        assert_eq!(owner_of("trading_db"), "trading_owner");
        assert_eq!(owner_of("ledger"), "ledger_owner");
        assert_eq!(owner_of(&"x".repeat(63)).len(), 63);
    }
}
