//! Names of databases that stand beside the one they were made for or from, with the moment at the
//! end: `trading_db__before_20260102030405`.

use jiff::{Span, Timestamp, fmt::strtime};

/// PostgreSQL cuts longer names (`NAMEDATALEN` is 64).
pub const BYTES_MAX: usize = 63;
const STAMP: &str = "%Y%m%d%H%M%S";
const STAMP_BYTES: usize = 14;

/// All of them, as a pattern of PostgreSQL.
pub const PATTERN: &str = "__(before|undone|restore|fresh)_[0-9]{14}$";

/// Why a database stands beside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Another one took its place.
    Before,
    /// It had taken the place of the one that was put back.
    Undone,
    /// A restore fills it.
    Restore,
    /// An installation fills it.
    Fresh,
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Self::Before => "__before_",
            Self::Undone => "__undone_",
            Self::Restore => "__restore_",
            Self::Fresh => "__fresh_",
        }
    }

    /// The name beside `database`, of a [`stamp`].
    pub fn name(self, database: &str, stamp: &str) -> String {
        limited(database, &format!("{}{stamp}", self.word()))
    }

    /// Whether [`Self::name`] gives this name, of whatever database.
    pub fn is(self, name: &str) -> bool {
        name.rsplit_once(self.word())
            .is_some_and(|(_, stamp)| is_stamp(stamp))
    }

    /// Whether [`Self::name`] gives this name for `database`.
    pub fn is_of(self, name: &str, database: &str) -> bool {
        let stamp = name.rsplit_once(self.word()).map(|(_, stamp)| stamp);
        stamp.is_some_and(|stamp| is_stamp(stamp) && self.name(database, stamp) == name)
    }
}

fn is_stamp(text: &str) -> bool {
    text.len() == STAMP_BYTES && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A moment as it stands in names, in UTC: now, or the next second of which none of `taken` is.
///
/// # Errors
/// The clock is at the end of time.
pub fn stamp<'a>(taken: impl IntoIterator<Item = &'a str>) -> anyhow::Result<String> {
    let taken: Vec<&str> = taken.into_iter().collect();
    free_stamp(Timestamp::now(), &taken)
}

fn free_stamp(now: Timestamp, taken: &[&str]) -> anyhow::Result<String> {
    let mut at = now;
    loop {
        let stamp = strtime::format(STAMP, at)?;
        if !taken.iter().any(|name| name.ends_with(&stamp)) {
            return Ok(stamp);
        }
        at = at.checked_add(Span::new().seconds(1))?;
    }
}

/// A name with its ending, within [`BYTES_MAX`].
pub fn limited(name: &str, ending: &str) -> String {
    let mut end = name.len().min(BYTES_MAX - ending.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ending}", &name[..end])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MOMENT: &str = "20260102030405";

    #[test]
    fn a_name_is_known_by_its_whole() {
        for database in ["trading_db", &"x".repeat(63), &"ä".repeat(31)] {
            let name = Side::Before.name(database, MOMENT);
            assert!(Side::Before.is_of(&name, database) && Side::Before.is(&name));
            assert!(name.len() <= BYTES_MAX, "{name}");
        }
        for other in [
            "trading_db",
            "trading_db__before_2026",
            "trading_db__before_2026010203040x",
            "trading_db__undone_20260102030405",
            "trading_db_test__before_20260102030405",
            "other__before_20260102030405",
            "ä",
        ] {
            assert!(!Side::Before.is_of(other, "trading_db"), "{other}");
            assert!(!Side::Restore.is(other), "{other}");
        }
    }

    #[test]
    fn two_in_one_second_have_two_names() {
        let now: Timestamp = "2026-01-02T03:04:05.9Z".parse().unwrap();
        assert_eq!(free_stamp(now, &["trading_db"]).unwrap(), MOMENT);
        let first = Side::Undone.name("trading_db", MOMENT);
        let second = "x__before_20260102030406";
        assert_eq!(
            free_stamp(now, &[&first, second]).unwrap(),
            "20260102030407"
        );
    }
}
