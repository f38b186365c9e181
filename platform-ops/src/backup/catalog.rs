//! What belongs to a database and stands outside of it: owner, locale, grants, settings. A dump of
//! the database alone holds none of it. Sealed like a dump: a setting can hold a secret.

use serde::{Deserialize, Serialize};

use crate::backup::server::Server;
use crate::sql::{identifier, literal};

/// The object's name within a set.
pub const OBJECT: &str = "catalog.json.zst";

/// Settings whose value is a list of names, quoted by themselves (as pg_dump's dumputils.c has it).
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// All databases' belongings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Catalog {
    /// By database.
    pub databases: Vec<Belongings>,
}

/// One database's belongings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belongings {
    /// The database.
    pub name: String,
    /// Its owner.
    pub owner: String,
    /// Its encoding.
    pub encoding: String,
    /// `c` for libc, `i` for ICU, `b` for builtin.
    pub provider: String,
    /// Of libc.
    pub collate: String,
    /// Of libc.
    pub ctype: String,
    /// Of ICU and builtin.
    pub locale: Option<String>,
    /// -1 for none.
    pub connection_limit: i64,
    /// None when nothing was ever granted or revoked.
    pub grants: Option<Vec<Grant>>,
    /// Of the database, and of roles in it.
    pub settings: Vec<RoleSetting>,
    /// `COMMENT ON DATABASE`.
    #[serde(default)]
    pub comment: Option<String>,
}

/// A privilege on a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// None for PUBLIC.
    pub grantee: Option<String>,
    /// Such as `CONNECT`.
    pub privilege: String,
    /// Whether it may be passed on.
    pub grantable: bool,
}

/// `ALTER DATABASE … SET`, or `ALTER ROLE … IN DATABASE … SET`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSetting {
    /// None for every role.
    pub role: Option<String>,
    /// `name=value`.
    pub setting: String,
}

const QUERY: &str = "select d.datname as name, pg_get_userbyid(d.datdba) as owner, \
    pg_encoding_to_char(d.encoding) as encoding, d.datlocprovider::text as provider, \
    d.datcollate as collate, d.datctype as ctype, \
    coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale') as locale, \
    d.datconnlimit as connection_limit, \
    case when d.datacl is not null then (select coalesce(jsonb_agg(jsonb_build_object( \
        'grantee', case when a.grantee <> 0 then pg_get_userbyid(a.grantee) end, \
        'privilege', a.privilege_type, 'grantable', a.is_grantable) order by a.grantee, \
        a.privilege_type), '[]') from aclexplode(d.datacl) a) end as grants, \
    (select coalesce(jsonb_agg(jsonb_build_object( \
        'role', case when s.setrole <> 0 then pg_get_userbyid(s.setrole) end, 'setting', c) \
        order by s.setrole, c), '[]') from pg_db_role_setting s, unnest(s.setconfig) c \
        where s.setdatabase = d.oid) as settings, \
    shobj_description(d.oid, 'pg_database') as comment \
    from pg_database d where d.datallowconn and not d.datistemplate order by 1";

impl Catalog {
    /// Asks the server.
    ///
    /// # Errors
    /// The server's words.
    pub async fn read(server: &Server) -> anyhow::Result<Self> {
        let databases = server.rows("postgres", QUERY).await?;
        Ok(Self { databases })
    }

    /// Of one database.
    pub fn of(&self, name: &str) -> Option<&Belongings> {
        self.databases.iter().find(|database| database.name == name)
    }
}

impl Belongings {
    /// Makes an empty database of this kind under another name.
    pub fn create_sql(&self, name: &str) -> String {
        let mut sql = format!(
            "create database {} template template0 owner {} encoding {} lc_collate {} lc_ctype {}",
            identifier(name),
            identifier(&self.owner),
            literal(&self.encoding),
            literal(&self.collate),
            literal(&self.ctype),
        );
        match (self.provider.as_str(), &self.locale) {
            ("i", Some(locale)) => {
                sql += &format!(" locale_provider icu icu_locale {}", literal(locale));
            }
            ("b", Some(locale)) => {
                sql += &format!(
                    " locale_provider builtin builtin_locale {}",
                    literal(locale)
                );
            }
            _ => sql += " locale_provider libc",
        }
        sql + ";\n"
    }

    /// Gives a database of another name these grants and settings, and the comment.
    pub fn apply_sql(&self, name: &str) -> String {
        let database = identifier(name);
        let mut sql = String::new();
        if let Some(grants) = &self.grants {
            sql += &format!("revoke all on database {database} from public;\n");
            for grant in grants {
                let grantee = grant
                    .grantee
                    .as_deref()
                    .map_or("public".to_owned(), identifier);
                let option = if grant.grantable {
                    " with grant option"
                } else {
                    ""
                };
                // The privilege is the server's own word.
                sql += &format!(
                    "grant {} on database {database} to {grantee}{option};\n",
                    grant.privilege
                );
            }
        }
        if let Some(comment) = &self.comment {
            sql += &format!("comment on database {database} is {};\n", literal(comment));
        }
        if self.connection_limit >= 0 {
            let limit = self.connection_limit;
            sql += &format!("alter database {database} connection limit {limit};\n");
        }
        for RoleSetting { role, setting } in &self.settings {
            let Some((key, value)) = setting.split_once('=') else {
                continue;
            };
            let value = if LISTS.contains(&key) {
                value.to_owned()
            } else {
                literal(value)
            };
            // Names of settings may have dots.
            let key: Vec<String> = key.split('.').map(identifier).collect();
            let key = key.join(".");
            sql += &match role {
                Some(role) => format!(
                    "alter role {} in database {database} set {key} to {value};\n",
                    identifier(role)
                ),
                None => format!("alter database {database} set {key} to {value};\n"),
            };
        }
        sql
    }
}
