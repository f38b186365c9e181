//! What PostgreSQL is told. A password reaches it as its SCRAM verifier only: statements stand in
//! logs and in pg_stat_statements.

use anyhow::Context as _;
use serde::Deserialize;

use super::{Login, Way};
use crate::container::Container;
use crate::failure::Failure;
use crate::postgres;
use crate::session::Session;
use crate::sql::{identifier, literal};

/// What has to be known of a role before its secret is changed.
#[derive(Debug, Deserialize)]
struct Facts {
    is_there: bool,
    database: Option<String>,
    is_stranger: bool,
}

/// A database that the role may connect to.
///
/// # Errors
/// When there is no such role, or another one stands where the second login role has to be.
pub async fn check(
    session: &Session,
    container: &Container,
    way: &Way,
    logins: [&Login; 2],
) -> anyhow::Result<String> {
    let [from, to] = logins;
    let owner = match way {
        Way::Alternate { owner } => owner,
        _ => &from.user,
    };
    let sql = format!(
        "select json_build_object(
 'is_there', exists (select from pg_roles where rolname = {owner}),
 'database', (select d.datname from pg_database d, pg_roles r where r.rolname = {owner} and d.datallowconn and not d.datistemplate
   and has_database_privilege(r.oid, d.oid, 'connect') order by d.datname = 'postgres', d.datname limit 1),
 'is_stranger', exists (select from pg_roles r, pg_roles o where r.rolname = {to} and o.rolname = {owner} and not pg_has_role(r.oid, o.oid, 'member')))",
        owner = literal(owner),
        to = literal(&to.user),
    );
    let facts = postgres::ask(session, container, "postgres", &sql).await?;
    let facts: Facts = serde_json::from_value(facts).context("read PostgreSQL's answer")?;
    if !facts.is_there {
        let what = format!("PostgreSQL has no role {owner}");
        return Err(Failure::refused(what).into());
    }
    if facts.is_stranger {
        let what = format!(
            "there is a role {} that does not belong to {owner}",
            to.user
        );
        return Err(Failure::refused(what)
            .try_next(format!(
                "rename it, or: grant {} to {}",
                identifier(owner),
                identifier(&to.user)
            ))
            .into());
    }
    facts.database.with_context(|| {
        Failure::refused(format!(
            "{owner} may connect to no database: its login cannot be proven"
        ))
    })
}

/// Gives a role its password.
pub fn password_sql(login: &Login) -> String {
    let verifier = postgres_protocol::password::scram_sha_256(login.secret.as_bytes());
    format!(
        "alter role {} password {};\n",
        identifier(&login.user),
        literal(&verifier)
    )
}

/// Lets a login role in that acts as its owner role, with the owner's settings.
pub fn admit_sql(owner: &str, login: &Login) -> String {
    let role = identifier(&login.user);
    let mut sql = String::new();
    if owner != login.user {
        let name = literal(&login.user);
        sql += &format!(
            "select format('create role %I', {name}) where not exists (select from pg_roles where rolname = {name}) \\gexec
grant {} to {role};
alter role {role} set role to {};
{}",
            identifier(owner),
            literal(owner),
            settings_sql(owner, &login.user)
        );
    }
    sql += &password_sql(login);
    sql += &format!("alter role {role} login;\n");
    sql
}

/// Gives one role the settings of another. Those that are lists are stored as they are written.
fn settings_sql(owner: &str, user: &str) -> String {
    format!(
        "select format('alter role %I %sset %I to %s', {user}, case when s.setdatabase <> 0 then format('in database %I ', d.datname) else '' end, split_part(c, '=', 1),
 case when split_part(c, '=', 1) in ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries')
 then substr(c, strpos(c, '=') + 1) else quote_literal(substr(c, strpos(c, '=') + 1)) end)
 from pg_db_role_setting s join pg_roles r on r.oid = s.setrole left join pg_database d on d.oid = s.setdatabase, unnest(s.setconfig) c
 where r.rolname = {owner} and split_part(c, '=', 1) <> 'role' \\gexec
",
        owner = literal(owner),
        user = literal(user),
    )
}

/// Shuts a login role out; sessions that are open go on.
pub fn dismiss_sql(user: &str) -> String {
    format!("alter role {} nologin password null;\n", identifier(user))
}
