//! What was restored is the source: by content, not by counts.

use crate::host::docker;
use crate::setup::Platform;

/// Of a database, everything that a client can see of it, in an order of its own.
const SEEN: &str = "\
    select 'table ' || format('%I.%I', n.nspname, c.relname) || ' ' || c.relkind::text || ' ' || pg_get_userbyid(c.relowner) || ' ' || coalesce(c.relacl::text, '') \
      from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('app', 'public') \
    union all select 'column ' || format('%s.%I %s %s %s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)) \
      from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace \
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum \
      where n.nspname in ('app', 'public') and a.attnum > 0 and not a.attisdropped \
    union all select 'index ' || pg_get_indexdef(indexrelid) from pg_index i join pg_class c on c.oid = i.indrelid \
      join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('app', 'public') \
    union all select 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint where conrelid <> 0 and connamespace in ('app'::regnamespace, 'public'::regnamespace) \
    union all select 'sequence ' || schemaname || '.' || sequencename || ' ' || coalesce(last_value::text, '-') || ' ' || increment_by from pg_sequences \
    union all select 'extension ' || extname || ' ' || extversion from pg_extension \
    union all select 'large object ' || l.oid || ' ' || pg_get_userbyid(l.lomowner) || ' ' || md5(lo_get(l.oid)) from pg_largeobject_metadata l \
    union all select 'function ' || p.oid::regprocedure || ' ' || md5(p.prosrc) from pg_proc p where pronamespace = 'app'::regnamespace \
    union all select 'default ' || pg_get_userbyid(defaclrole) || ' ' || defaclacl::text from pg_default_acl \
    union all select 'database ' || pg_get_userbyid(datdba) || ' ' || datcollate || ' ' || coalesce(shobj_description(oid, 'pg_database'), '') || ' ' || array_to_string(array(select unnest(datacl)::text order by 1), ' ') from pg_database where datname = current_database() \
    union all select 'setting ' || coalesce(r.rolname, '-') || ' ' || setconfig::text from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole where setdatabase = (select oid from pg_database where datname = current_database()) \
    order by 1";

const ROLES: &str = "\
    select 'role ' || rolname || ' ' || rolsuper || rolinherit || rolcreaterole || rolcreatedb || rolcanlogin || ' ' || coalesce(rolpassword, '-') from pg_authid where rolname !~ '^pg_' \
    union all select 'member ' || roleid::regrole || ' ' || member::regrole from pg_auth_members where member::regrole::text !~ '^pg_' \
    union all select 'role setting ' || r.rolname || ' ' || setconfig::text from pg_db_role_setting s join pg_roles r on r.oid = s.setrole where setdatabase = 0 \
    order by 1";

/// More of what a dump can lose.
const MORE: &str = "\
    create role auditor login password 'auditor-secret-1' in role reader;\n\
    alter role auditor set statement_timeout to '9s';\n\
    comment on database trading_db is 'it''s the one';\n\
    \\c trading_db\n\
    select lo_from_bytea(4711, decode(repeat('00ff41', 5000), 'hex'));\n\
    create function app.twice(i int) returns int language sql as 'select $1 * 2';\n\
    create view app.names as select who from app.orders;\n\
    grant select on app.names to auditor;\n";

/// Everything in Redis: each key's DUMP and life.
fn redis_content(platform: &Platform) -> Vec<String> {
    let script = "local found = {} for _, key in ipairs(redis.call('keys', '*')) do \
        found[#found + 1] = redis.sha1hex(key) .. ' ' .. redis.sha1hex(redis.call('dump', key)) .. ' ' .. redis.call('expiretime', key) end \
        table.sort(found) return found";
    let text = platform.redis(&["eval", script, "0"]);
    text.lines().map(str::to_owned).collect()
}

fn everything(platform: &Platform) -> String {
    let seen = platform.ask("trading_db", SEEN);
    seen + "\n" + &platform.content("trading_db")
}

/// T28: what stands outside of a database (grants on it, `ALTER DATABASE SET`, `ALTER ROLE IN DATABASE`,
/// its comment) comes back with it. T29: password verifiers do, in the encrypted set alone.
#[test]
fn t28_t29_what_was_restored_is_the_source_by_content() {
    let platform = Platform::new();
    platform.sql("postgres", MORE);
    for command in [
        &["hset", "hash", "a", "1", "b", "2"][..],
        &["rpush", "list", "x", "y"],
        &["zadd", "sorted", "1.5", "m"],
        &["set", "mortal", "soon", "exat", "4102444800"],
    ] {
        platform.redis(command);
    }
    let (before, roles, redis) = (
        everything(&platform),
        platform.ask("postgres", ROLES),
        redis_content(&platform),
    );
    for part in [
        "large object 4711",
        "it's the one",
        "work_mem=8MB",
        "hnsw",
        "role auditor",
    ] {
        assert!(
            before.contains(part) || roles.contains(part),
            "{part} in {before}{roles}"
        );
    }
    assert_eq!(redis.len(), 54);
    platform.create(&["--no-drill"]);

    platform.sql(
        "postgres",
        "drop database trading_db; drop role auditor; drop role reader; drop role trading_app_user;",
    );
    platform.redis(&["flushall"]);
    let key = platform.key_argument();
    let restore = ["restore", "database", "trading_db", "--identity", &key];
    platform.ops(&restore).ok();
    assert_eq!(everything(&platform), before);
    assert_eq!(platform.ask("postgres", ROLES), roles);
    let container = platform.host.container("redis");
    let restore = [
        "restore",
        "redis",
        "--identity",
        &key,
        "--confirm",
        &container,
    ];
    platform.ops(&restore).ok();
    assert_eq!(redis_content(&platform), redis);
    let left = docker(&[
        "exec",
        &platform.host.container("postgres"),
        "sh",
        "-c",
        "ls /tmp",
    ]);
    assert!(!left.ok().out.contains("platform-ops"));
}
