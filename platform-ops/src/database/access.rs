//! Who owns a database and who may what in it.
//!
//! A role that nobody logs in as owns the database and all objects; login roles are its members and
//! act as it, whichever of them made an object. Besides they are granted what the manual grants,
//! and default privileges cover what the owner or the superuser makes later.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::backup::server::Server;
use crate::database::name;
use crate::failure::Failure;
use crate::settings::{AppRole, Settings};
use crate::sql::{identifier, literal};

/// Objects that an administrator's script made, given to the owner: all of them that the session's
/// own role owns and that no extension brought. Sequences of columns follow their table.
const GIVE_AWAY: &str = "set search_path = '';
do $give$
declare o record;
begin
  for o in
    select format('alter %s %s owner to %I', kind, name, {owner}) as command from (
      select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
          when 'f' then 'foreign table' else 'table' end as kind,
        format('%I.%I', n.nspname, c.relname) as name, c.oid, 'pg_class'::regclass as class, c.relowner as owner, n.nspname as schema
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and c.relpersistence <> 't' and not exists (
        select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and c.relkind = 'S'
          and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i'))
      union all
      select 'routine', p.oid::regprocedure::text, p.oid, 'pg_proc'::regclass, p.proowner, n.nspname
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      union all
      select case t.typtype when 'd' then 'domain' else 'type' end, format('%I.%I', n.nspname, t.typname), t.oid,
        'pg_type'::regclass, t.typowner, n.nspname
      from pg_type t join pg_namespace n on n.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
      where t.typtype in ('e', 'd', 'r') or (t.typtype = 'c' and c.relkind = 'c')
      union all
      select 'schema', format('%I', n.nspname), n.oid, 'pg_namespace'::regclass, n.nspowner, n.nspname from pg_namespace n
    ) all_objects
    where owner = (select oid from pg_roles where rolname = current_user)
      and schema not like 'pg\\_%' and schema <> 'information_schema' and not exists (
        select from pg_depend d where d.classid = class and d.objid = all_objects.oid and d.deptype = 'e')
  loop
    execute o.command;
  end loop;
end $give$;
reset search_path;
";

/// Who owns a database and who uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Access {
    /// Owns everything; nobody logs in as it.
    pub owner: String,
    /// Roles that log in.
    pub roles: Vec<String>,
}

/// A role, as the server has it.
#[derive(Clone, Debug, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Whether someone can log in as it.
    pub login: bool,
    /// Whether nothing is forbidden to it.
    pub superuser: bool,
}

/// The server's roles.
///
/// # Errors
/// The server's words.
pub async fn roles(server: &Server) -> anyhow::Result<Vec<Role>> {
    let sql = "select rolname as name, rolcanlogin as login, rolsuper as superuser from pg_roles";
    server.rows("postgres", sql).await.context("list the roles")
}

/// A login role that is to be made.
#[derive(Clone)]
pub struct NewRole {
    /// Its name.
    pub name: String,
    password: String,
}

impl std::fmt::Debug for NewRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl NewRole {
    /// Those of `access` that are not there, with the passwords that platform.env has for them.
    ///
    /// # Errors
    /// When it has none.
    pub fn missing(
        settings: &Settings,
        access: &Access,
        there: &[Role],
    ) -> anyhow::Result<Vec<Self>> {
        let is_missing = |name: &&String| !there.iter().any(|role| role.name == **name);
        let with_password = |name: &String| {
            let role = settings.app_roles.iter().find(|role| role.user == *name);
            let password = role.and_then(|role| settings.environment.get(&role.key));
            let password = password.with_context(|| {
                let what =
                    format!("there is no role {name}, and no password for it in platform.env");
                Failure::refused(what).try_next("platform-ops app add NAME")
            })?;
            Ok(Self {
                name: name.clone(),
                password: password.to_owned(),
            })
        };
        let missing = access.roles.iter().filter(is_missing);
        missing.map(with_password).collect()
    }

    /// Of the password only its SCRAM verifier leaves this program: statements get into the server's
    /// log.
    fn sql(&self) -> String {
        let verifier = postgres_protocol::password::scram_sha_256(self.password.as_bytes());
        let (role, verifier) = (identifier(&self.name), literal(&verifier));
        format!("create role {role} login password {verifier};\n")
    }
}

/// Makes what is missing of owner and login roles, and the ones members of the other.
///
/// # Errors
/// The server's words.
pub async fn make_roles(
    server: &Server,
    access: &Access,
    missing: &[NewRole],
) -> anyhow::Result<()> {
    let there = roles(server).await?;
    let is_new = |role: &&NewRole| !there.iter().any(|other| other.name == role.name);
    let mut sql: String = missing.iter().filter(is_new).map(NewRole::sql).collect();
    sql += &access.roles_sql();
    let made = server.script("postgres", &sql).await;
    made.context("make the roles")
}

impl Access {
    /// As platform.env says whose a database is; without roles where it does not.
    pub fn of(settings: &Settings, database: &str, owner: Option<&str>) -> Self {
        let ours = settings.app_roles.iter();
        let ours: Vec<&AppRole> = ours.filter(|role| role.database == database).collect();
        // Login roles that take turns act as one already.
        let shared = ours.iter().find_map(|role| {
            let prefix = role.key.strip_suffix("_PASSWORD")?;
            settings.environment.get(&format!("{prefix}_OWNER"))
        });
        let owner = owner.or(shared).map(str::to_owned);
        Self {
            owner: owner.unwrap_or_else(|| name::owner_of(database)),
            roles: ours.iter().map(|role| role.user.clone()).collect(),
        }
    }

    /// The application that platform.env names for a database.
    pub fn application(settings: &Settings, database: &str) -> Option<String> {
        let mut roles = settings.app_roles.iter();
        let ours = roles.find(|role| role.database == database)?;
        Some(ours.application())
    }

    /// Refuses an owner that someone can log in as, and roles that are above all rules.
    ///
    /// # Errors
    /// Names the role.
    pub fn check(&self, there: &[Role]) -> Result<(), Failure> {
        let find = |name: &str| there.iter().find(|role| role.name == name);
        if find(&self.owner).is_some_and(|owner| owner.login) {
            let what = format!("{} is to own the database, and can log in", self.owner);
            return Err(Failure::refused(what).try_next(
                "--owner ROLE with the name of a role that is not there yet or NOLOGIN",
            ));
        }
        for name in &self.roles {
            if find(name).is_some_and(|role| role.superuser) {
                let what = format!("{name} is a superuser, which no application's role may be");
                return Err(
                    Failure::refused(what).try_next(format!("alter role {name} nosuperuser"))
                );
            }
        }
        Ok(())
    }

    /// What [`make_roles`] does, in words.
    pub fn roles_text(&self, missing: &[NewRole], database: &str) -> String {
        let names = |names: Vec<&str>| names.join(", ");
        let mut text = match missing {
            [] => String::new(),
            _ => {
                let missing = missing.iter().map(|role| role.name.as_str()).collect();
                format!("make login role {}; ", names(missing))
            }
        };
        let owner = &self.owner;
        text += &match &self.roles[..] {
            [] => format!("make {owner} (NOLOGIN), which is to own {database}"),
            roles => {
                let roles = names(roles.iter().map(String::as_str).collect());
                format!("let {roles} act as {owner} (NOLOGIN), which is to own {database}")
            }
        };
        text
    }

    /// Makes the owner where there is none, and the login roles its members.
    pub fn roles_sql(&self) -> String {
        let owner = identifier(&self.owner);
        let exists = literal(&self.owner);
        let mut sql = format!(
            "do $$ begin if not exists (select from pg_roles where rolname = {exists}) then \
             create role {owner} nologin; end if; end $$;\n"
        );
        for role in &self.roles {
            sql += &format!("grant {owner} to {};\n", identifier(role));
        }
        sql
    }

    /// Privileges on the database itself: the application's alone, none of everybody's.
    pub fn database_sql(&self, database: &str) -> String {
        let (name, owner) = (identifier(database), literal(&self.owner));
        let mut sql = format!("revoke connect on database {name} from public;\n");
        for role in self.roles.iter().map(|role| identifier(role)) {
            sql += &format!(
                "grant all privileges on database {name} to {role};\n\
                 alter role {role} in database {name} set role to {owner};\n"
            );
        }
        sql
    }

    /// Ownership and privileges within the database, of what is there and of what comes later.
    pub fn objects_sql(&self, superuser: &str) -> String {
        let mut sql = GIVE_AWAY.replace("{owner}", &literal(&self.owner));
        let creators = format!("{}, {}", identifier(&self.owner), identifier(superuser));
        for role in self.roles.iter().map(|role| identifier(role)) {
            sql += &format!("grant all on schema public to {role};\n");
        }
        // Login roles act as the owner: what it may not, they may not.
        for role in self.roles.iter().chain([&self.owner]) {
            let role = identifier(role);
            sql += &format!(
                "grant select, insert, update, delete on all tables in schema public to {role};\n\
                 grant usage on all sequences in schema public to {role};\n\
                 alter default privileges for role {creators} in schema public \
                 grant select, insert, update, delete on tables to {role};\n\
                 alter default privileges for role {creators} in schema public \
                 grant usage, select, update on sequences to {role};\n"
            );
        }
        sql
    }

    /// Whether the last of its privileges were granted.
    ///
    /// # Errors
    /// The server's words.
    pub async fn is_granted(&self, server: &Server, database: &str) -> anyhow::Result<bool> {
        #[derive(Deserialize)]
        struct Grantee {
            name: String,
        }
        let sql = "select distinct pg_get_userbyid(x.grantee) as name \
            from pg_default_acl a, aclexplode(a.defaclacl) x where a.defaclobjtype = 'S'";
        let there: Vec<Grantee> = server.rows(database, sql).await?;
        let is_there = |role: &String| there.iter().any(|grantee| grantee.name == *role);
        Ok(self.roles.iter().all(is_there))
    }
}
