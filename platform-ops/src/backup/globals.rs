//! The text of `pg_dumpall --globals-only`, statement by statement: on a server that lives only what is
//! missing is made, for the set's passwords and attributes are those of another time.

use std::collections::BTreeSet;

/// Whom a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum About {
    /// The session that runs the script.
    Session,
    Role(String),
    /// `GRANT role TO member`.
    Membership(String, String),
    Tablespace(String),
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    text: String,
    about: About,
    makes: bool,
}

/// Roles and tablespaces of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Globals(Vec<Statement>);

impl Globals {
    /// Takes the script apart. psql's own commands in it (`\restrict`) are left out: they guard against
    /// a script that was not made by the server, and this one's bytes are known.
    pub fn parse(script: &str) -> Self {
        Self(statements(script).into_iter().map(statement).collect())
    }

    /// The roles that it makes, in its order.
    pub fn roles(&self) -> Vec<&str> {
        let role = |statement: &Statement| statement.makes;
        let made = self.0.iter().filter(|statement| role(statement));
        made.filter_map(|statement| match &statement.about {
            About::Role(role) => Some(role.as_str()),
            _ => None,
        })
        .collect()
    }

    /// A script that makes what is not among `roles` and `tablespaces`, and leaves alone what is.
    pub fn missing(&self, roles: &BTreeSet<String>, tablespaces: &BTreeSet<String>) -> String {
        self.script(|statement| match &statement.about {
            About::Session => true,
            About::Role(role) => !roles.contains(role),
            About::Membership(role, member) => !roles.contains(role) || !roles.contains(member),
            About::Tablespace(name) => !tablespaces.contains(name),
            About::Other => roles.is_empty(),
        })
    }

    /// A script that gives a role that is there its attributes, password, settings and memberships.
    pub fn of_role(&self, name: &str) -> String {
        self.script(|statement| match &statement.about {
            About::Session => true,
            About::Role(role) => role == name && !statement.makes,
            About::Membership(_, member) => member == name,
            About::Tablespace(_) | About::Other => false,
        })
    }

    /// Roles of which this says something else than `other`.
    pub fn differing<'a>(&'a self, other: &Self) -> Vec<&'a str> {
        let mut roles = self.roles();
        roles.retain(|role| {
            other.roles().contains(role) && self.of_role(role) != other.of_role(role)
        });
        roles
    }

    fn script(&self, wanted: impl Fn(&Statement) -> bool) -> String {
        let kept = self.0.iter().filter(|statement| wanted(statement));
        kept.map(|statement| format!("{};\n", statement.text))
            .collect()
    }
}

/// Splits at semicolons outside of quotes; comments and psql's commands are dropped.
fn statements(script: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut text = String::new();
    let mut quote = None;
    let mut escapes = false;
    let mut rest = script.chars().peekable();
    while let Some(char) = rest.next() {
        let is_line = text.trim().is_empty();
        match (quote, char) {
            (None, '\\') if is_line => skip_line(&mut rest),
            (None, '-') if rest.peek() == Some(&'-') => skip_line(&mut rest),
            (None, ';') => found.push(std::mem::take(&mut text).trim().to_owned()),
            (None, '\'' | '"') => {
                escapes = char == '\'' && text.ends_with(['E', 'e']);
                quote = Some(char);
                text.push(char);
            }
            (Some('\''), '\\') if escapes => {
                text.push(char);
                text.extend(rest.next());
            }
            (Some(open), char) => {
                // A doubled quote closes and opens again.
                if open == char {
                    quote = None;
                }
                text.push(char);
            }
            (None, char) => text.push(char),
        }
    }
    found.retain(|text| !text.is_empty());
    found
}

fn skip_line(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    for char in rest.by_ref() {
        if char == '\n' {
            return;
        }
    }
}

fn statement(text: String) -> Statement {
    let words = words(&text);
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    let name = |index: usize| unquoted(word(index));
    let after_to = || {
        let to = words.iter().rposition(|word| word == "TO");
        to.map(|to| name(to + 1))
    };
    let about = match (word(0), word(1), word(2)) {
        ("SET", ..) => About::Session,
        ("CREATE" | "ALTER", "ROLE", _) => About::Role(name(2)),
        ("CREATE" | "ALTER", "TABLESPACE", _) => About::Tablespace(name(2)),
        ("COMMENT", "ON", "ROLE") => About::Role(name(3)),
        ("COMMENT", "ON", "TABLESPACE") => About::Tablespace(name(3)),
        ("GRANT", _, "TO") => About::Membership(name(1), name(3)),
        ("GRANT", ..) if words.iter().any(|word| word == "PARAMETER") => {
            after_to().map_or(About::Other, About::Role)
        }
        _ => About::Other,
    };
    let makes = word(0) == "CREATE";
    Statement { text, about, makes }
}

/// Words, where a quoted name is one.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for char in text.chars() {
        if char.is_whitespace() && !quoted {
            words.push(String::new());
            continue;
        }
        quoted ^= char == '"';
        if let Some(word) = words.last_mut() {
            word.push(char);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn unquoted(word: &str) -> String {
    let inner = word
        .strip_prefix('"')
        .and_then(|word| word.strip_suffix('"'));
    inner.map_or(word.to_owned(), |inner| inner.replace("\"\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = r#"--
-- PostgreSQL database cluster dump
--

\restrict Xy9

SET default_transaction_read_only = off;

CREATE ROLE admin;
ALTER ROLE admin WITH SUPERUSER PASSWORD 'SCRAM-SHA-256$4096:a;b$c:d';
CREATE ROLE "odd; ""name""";
ALTER ROLE "odd; ""name""" WITH LOGIN;
ALTER ROLE "odd; ""name""" SET search_path TO E'a\';b', 'it''s; so';
CREATE ROLE reader;
COMMENT ON ROLE reader IS 'one
-- not a comment; two';
GRANT reader TO admin WITH INHERIT TRUE GRANTED BY admin;
GRANT SET ON PARAMETER work_mem TO reader;
CREATE TABLESPACE fast OWNER admin LOCATION '/fast';
\unrestrict Xy9
"#;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn only_what_is_missing_is_made() {
        let globals = Globals::parse(SCRIPT);
        assert_eq!(globals.roles(), ["admin", "odd; \"name\"", "reader"]);
        let nothing = globals.missing(
            &names(&["admin", "odd; \"name\"", "reader"]),
            &names(&["fast"]),
        );
        assert_eq!(nothing, "SET default_transaction_read_only = off;\n");
        let one = globals.missing(&names(&["admin", "odd; \"name\""]), &names(&["fast"]));
        assert_eq!(
            one,
            "SET default_transaction_read_only = off;\nCREATE ROLE reader;\n\
             COMMENT ON ROLE reader IS 'one\n-- not a comment; two';\n\
             GRANT reader TO admin WITH INHERIT TRUE GRANTED BY admin;\n\
             GRANT SET ON PARAMETER work_mem TO reader;\n"
        );
    }

    /// T33: psql's own commands are not statements, and a password never reaches a role that is there.
    #[test]
    fn t33_restrict_is_left_out_and_a_live_password_alone() {
        let globals = Globals::parse(SCRIPT);
        let all = globals.missing(&names(&[]), &names(&[]));
        assert!(!all.contains("restrict"), "{all}");
        assert!(all.contains("a;b$c:d"), "{all}");
        let rest = globals.missing(&names(&["admin"]), &names(&[]));
        assert!(!rest.contains("SCRAM"), "{rest}");
        assert!(
            rest.contains("'it''s; so'") && rest.contains("E'a\\';b'"),
            "{rest}"
        );
    }

    #[test]
    fn a_role_that_differs_is_named() {
        let globals = Globals::parse(SCRIPT);
        let other = Globals::parse(&SCRIPT.replace("SUPERUSER", "NOSUPERUSER"));
        assert_eq!(globals.differing(&other), ["admin"]);
        assert!(!globals.of_role("admin").contains("CREATE ROLE"));
        assert!(globals.of_role("admin").contains("GRANT reader TO admin"));
    }
}
