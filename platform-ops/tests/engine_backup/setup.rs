//! A host with data, a key, and a place for sets.

use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;

use crate::host::{Host, POSTGRES_IMAGE, REDIS_IMAGE, Run, docker};

/// Roles, grants, settings, an extension, sequences, a vector index, names that need quotes.
const SEED: &str = "\
    create role reader;
    create database trading_db owner trading_app_user;
    create database trading_db_test;
    create database \"odd = name\";
    alter database trading_db set search_path to 'app', public;
    alter database trading_db set statement_timeout to '60s';
    grant connect on database trading_db to reader;
    alter role reader in database trading_db set work_mem to '8MB';
    \\c trading_db
    create extension vector;
    create schema app authorization trading_app_user;
    set role trading_app_user;
    create table app.orders(id bigserial primary key, who text not null, amount numeric);
    insert into app.orders(who, amount) select 'c' || i, i * 1.5 from generate_series(1, 2000) i;
    create table app.\"Odd Name\"(id int primary key references app.orders(id));
    insert into app.\"Odd Name\" select i from generate_series(1, 10) i;
    create table app.alembic_version(version_num varchar(32) primary key);
    insert into app.alembic_version values ('abc123');
    alter default privileges for role trading_app_user in schema app grant select on tables to reader;
    reset role;
    create table public.chunks(id int primary key, e vector(8));
    insert into public.chunks select i, array[i, 2, 3, 4, 5, 6, 7, 8]::vector from generate_series(1, 200) i;
    create index on public.chunks using hnsw (e vector_l2_ops);
    grant select on public.chunks to reader;
    \\c trading_db_test
    create table only_here(id int);
";

/// A running platform with data in it, and an age key that is kept elsewhere.
pub struct Platform {
    pub host: Host,
    folder: tempfile::TempDir,
}

impl Platform {
    /// With data; sets go into a folder. Neither Compose nor health checks: they take time.
    pub fn new() -> Self {
        let host = Host::initialised();
        let (postgres, redis) = (host.container("postgres"), host.container("redis"));
        let run = ["run", "--detach", "--network", "none", "--name"];
        let variables = [
            "POSTGRES_USER=platform_admin",
            "POSTGRES_DB=postgres",
            "POSTGRES_INITDB_ARGS=--no-sync",
        ];
        let variables = variables.iter().flat_map(|variable| ["--env", variable]);
        let trust = [
            "--env",
            "POSTGRES_HOST_AUTH_METHOD=trust",
            POSTGRES_IMAGE,
            "-c",
            "fsync=off",
        ];
        let command: Vec<&str> = run
            .into_iter()
            .chain([postgres.as_str()])
            .chain(variables)
            .chain(trust)
            .collect();
        docker(&command).ok();
        let password = host.env("REDIS_PASSWORD");
        let server = [
            "--restart",
            "always",
            REDIS_IMAGE,
            "redis-server",
            "--appendonly",
            "yes",
        ];
        let server = server.into_iter().chain(["--requirepass", &password]);
        let command: Vec<&str> = run
            .into_iter()
            .chain([redis.as_str()])
            .chain(server)
            .collect();
        docker(&command).ok();
        let ask = [
            "exec",
            &postgres,
            "psql",
            "-wXAtq",
            "-h",
            "127.0.0.1",
            "-U",
            "platform_admin",
            "-d",
            "postgres",
            "-c",
            "select 1",
        ];
        let limit = std::time::Duration::from_secs(600);
        fixtures::wait::until("the server", limit, || {
            Ok((docker(&ask).code == 0).then_some(()))
        })
        .unwrap();
        Self::seeded(host)
    }

    /// The same on the stack as `up` starts it, PgBouncer included.
    pub fn with_stack() -> Self {
        Self::seeded(Host::running())
    }

    fn seeded(host: Host) -> Self {
        let platform = Self {
            host,
            folder: tempfile::tempdir().unwrap(),
        };
        let exists = "select count(*) from pg_roles where rolname = 'trading_app_user'";
        if platform.host.psql("postgres", exists).ok().out.trim() == "0" {
            platform.sql("postgres", "create role trading_app_user login;");
        }
        platform.sql("postgres", SEED);
        for number in 0..50 {
            platform.redis(&["set", &format!("key{number}"), "value"]);
        }
        let key = age::x25519::Identity::generate();
        let text = key.to_string();
        std::fs::write(platform.key(), format!("{}\n", text.expose_secret())).unwrap();
        platform.configure(&format!(
            "recipients = [\"{}\"]\ndirectory = {:?}\n",
            key.to_public(),
            platform.store()
        ));
        platform
    }

    pub fn configure(&self, text: &str) {
        std::fs::write(self.host.path("config/backup.toml"), text).unwrap();
    }

    /// The first line of the configuration.
    pub fn recipients(&self) -> String {
        let text = self.host.read("config/backup.toml");
        text.lines().next().unwrap().to_owned()
    }

    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.txt")
    }

    pub fn key_argument(&self) -> String {
        self.key().to_str().unwrap().to_owned()
    }

    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub fn ops(&self, arguments: &[&str]) -> Run {
        self.host.ops(arguments)
    }

    /// A set, proven unless `more` says otherwise; its id.
    #[track_caller]
    pub fn create(&self, more: &[&str]) -> String {
        let run = self.ops(&[&["backup", "create", "--json"], more].concat());
        let wanted = if more.contains(&"--no-drill") { 3 } else { 0 };
        assert_eq!(run.code, wanted, "{}", run.all());
        run.json()["set"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn sql(&self, database: &str, sql: &str) {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let mut psql = Command::new("docker")
            .args([
                "exec",
                "-i",
                &self.host.container("postgres"),
                "psql",
                "-wXAtq",
            ])
            .args([
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "platform_admin",
                "-d",
                database,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        psql.stdin
            .take()
            .unwrap()
            .write_all(sql.as_bytes())
            .unwrap();
        let output = psql.wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}");
    }

    #[track_caller]
    pub fn ask(&self, database: &str, sql: &str) -> String {
        self.host.psql(database, sql).ok().out.trim().to_owned()
    }

    #[track_caller]
    pub fn redis(&self, arguments: &[&str]) -> String {
        let auth = format!("REDISCLI_AUTH={}", self.host.env("REDIS_PASSWORD"));
        let container = self.host.container("redis");
        let command = ["exec", "-e", &auth, &container, "redis-cli", "-e"];
        docker(&[&command[..], arguments].concat())
            .ok()
            .out
            .trim()
            .to_owned()
    }

    /// Everything in a database that a restore must bring back: rows in order, by table.
    pub fn content(&self, database: &str) -> String {
        let tables = "select string_agg(format('%I.%I', schemaname, tablename), ' ' order by 1) \
            from (select schemaname, tablename from pg_tables \
            where schemaname not in ('pg_catalog', 'information_schema') order by 1, 2) t";
        let tables = self.ask(database, &tables.replace(" order by 1) from", ") from"));
        let digest = |table: &str| {
            let sql = format!(
                "select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from {table} t"
            );
            format!("{table} {}\n", self.ask(database, &sql))
        };
        let names = quoted_names(&tables);
        names.iter().map(|table| digest(table)).collect()
    }
}

/// Splits at spaces outside of quotes.
fn quoted_names(text: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut quoted = false;
    for char in text.chars() {
        match char {
            ' ' if !quoted => names.push(String::new()),
            char => {
                quoted ^= char == '"';
                names.last_mut().unwrap().push(char);
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Files below a folder, with their bytes' number.
pub fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                files.push((entry.path(), metadata.len()));
            }
        }
    }
    files.sort();
    files
}

/// Changes one bit of a file.
pub fn flip(path: &Path, offset: u64) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[usize::try_from(offset).unwrap()] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
