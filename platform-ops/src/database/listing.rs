//! Which databases there are, and which of them are only kept.

use serde::{Deserialize, Serialize};

use crate::backup::server::Server;
use crate::side_name;
use crate::sql::literal;

/// A database.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: String,
    /// On disk.
    pub bytes: u64,
    /// Sessions in it.
    pub sessions: u64,
    /// Whether it was set aside by this program.
    pub kept: bool,
}

/// All of them but the templates, by name.
///
/// # Errors
/// The server's words.
pub async fn list(server: &Server) -> anyhow::Result<Vec<Entry>> {
    let pattern = literal(side_name::PATTERN);
    let sql = format!(
        "select datname as name, pg_get_userbyid(datdba) as owner, pg_database_size(oid) as bytes, \
         (select count(*) from pg_stat_activity a where a.datid = d.oid and a.pid <> pg_backend_pid()) as sessions, \
         datname ~ {pattern} as kept from pg_database d where not datistemplate order by datname"
    );
    let mut entries: Vec<Entry> = server.rows("postgres", &sql).await?;
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}
