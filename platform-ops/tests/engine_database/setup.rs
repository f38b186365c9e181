//! A running stack with the manual's application: a schema, and Alembic migrations.

use std::process::Command;

use crate::alembic::{self, Migrator};
use crate::host::{Host, Run};

/// What a full schema holds; it is that of the second migration.
pub const SCHEMA: &str = "\
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TYPE side AS ENUM ('buy', 'sell');
CREATE TABLE orders (id bigserial PRIMARY KEY, who text NOT NULL, amount numeric CHECK (amount > 0), note text);
CREATE TABLE chunks (id int PRIMARY KEY REFERENCES orders(id), e vector(3), s side);
CREATE INDEX orders_who ON orders (who);
CREATE SEQUENCE tickets;
CREATE VIEW named AS SELECT id, who FROM orders;
CREATE FUNCTION double(a int) RETURNS int LANGUAGE sql AS $$ SELECT a * 2; $$;
INSERT INTO orders (who) VALUES ('from init.sql');
";

/// With this the schema says which migration it is of.
pub const VERSION: &str = "\
CREATE TABLE alembic_version (version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY);
INSERT INTO alembic_version VALUES ('0002');
";

/// How the migrator reaches the server.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Direct,
    Pooler,
}

pub struct Platform {
    pub host: Host,
}

impl Platform {
    /// With `trading_db` as the manual makes it, and something in it that no schema brings.
    pub fn new(way: Way) -> Self {
        let host = Host::running();
        let platform = Self { host };
        platform.application(way);
        platform.schema(SCHEMA);
        let password = platform.host.env("TRADING_APP_DB_PASSWORD");
        platform.sql(
            "postgres",
            &format!("create role trading_app_user login password '{password}'; create database trading_db;"),
        );
        platform.sql(
            "trading_db",
            "create extension vector; create table marker (n int); insert into marker values (7);",
        );
        platform
    }

    pub fn schema(&self, text: &str) {
        std::fs::write(self.host.path("apps/trading-app/init.sql"), text).unwrap();
    }

    fn application(&self, way: Way) {
        let server = match way {
            Way::Direct => (self.host.container("postgres"), 5432),
            Way::Pooler => (self.host.container("pgbouncer"), 6432),
        };
        let migrator = Migrator {
            project: format!("{}-trading", self.host.prefix),
            network: self.host.network(),
            server,
            user: "trading_app_user",
            key: "TRADING_APP_DB_PASSWORD",
            database: "trading_db",
        };
        migrator.write(&self.host.path("apps/trading-app"));
        self.migration(
            "0001",
            "None",
            "CREATE TABLE orders (id bigserial PRIMARY KEY, who text NOT NULL, amount numeric)",
        );
        self.migration("0002", "'0001'", "ALTER TABLE orders ADD note text");
    }

    /// Another migration of the application.
    pub fn migration(&self, revision: &str, before: &str, sql: &str) {
        let python = format!("op.execute(\"{sql}\")");
        alembic::migration(
            &self.host.path("apps/trading-app"),
            revision,
            before,
            &python,
        );
    }

    pub fn ops(&self, arguments: &[&str]) -> Run {
        self.host.ops(arguments)
    }

    pub fn install(&self, more: &[&str]) -> Run {
        let command = [
            "db",
            "fresh-install",
            "trading_db",
            "--confirm",
            "trading_db",
        ];
        self.ops(&[&command[..], more].concat())
    }

    pub fn undo(&self) -> Run {
        self.ops(&["db", "undo", "trading_db", "--confirm", "trading_db"])
    }

    /// As the manual has it: psql by hand, statements by standard input.
    pub fn psql(&self, arguments: &[&str], input: &str) -> Run {
        let container = self.host.container("postgres");
        let mut command = Command::new("docker");
        command.args(["exec", "-i", &container, "psql", "-wXAtq"]);
        command.args(["-U", "platform_admin"]).args(arguments);
        Run::fed(&mut command, input)
    }

    #[track_caller]
    pub fn sql(&self, database: &str, sql: &str) {
        self.psql(&["-v", "ON_ERROR_STOP=1", "-d", database], sql)
            .ok();
    }

    #[track_caller]
    pub fn ask(&self, database: &str, sql: &str) -> String {
        self.psql(&["-v", "ON_ERROR_STOP=1", "-d", database], sql)
            .ok()
            .out
            .trim()
            .to_owned()
    }

    /// As the application does it: its own role, through the pooler.
    pub fn client(&self, user: &str, key: &str, database: &str, sql: &str) -> Run {
        let target = format!(
            "host={} port=6432 user={user} dbname={database} connect_timeout=20",
            self.host.container("pgbouncer")
        );
        let password = format!("PGPASSWORD={}", self.host.env(key));
        self.host.client(
            &password,
            &[
                "psql",
                "-wXAtq",
                "-v",
                "ON_ERROR_STOP=1",
                &target,
                "-c",
                sql,
            ],
        )
    }

    #[track_caller]
    pub fn application_asks(&self, sql: &str) -> String {
        let run = self.client(
            "trading_app_user",
            "TRADING_APP_DB_PASSWORD",
            "trading_db",
            sql,
        );
        run.ok().out.trim().to_owned()
    }

    /// The old database: what stands in it no schema brings.
    #[track_caller]
    pub fn is_old(&self, database: &str) -> bool {
        self.ask(database, "select to_regclass('public.marker') is not null") == "t"
    }

    /// Databases whose name holds a text.
    pub fn databases(&self, part: &str) -> Vec<String> {
        let sql =
            format!("select datname from pg_database where datname like '%{part}%' order by 1");
        self.ask("postgres", &sql)
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[track_caller]
    pub fn is_paused(&self) -> bool {
        let rows = self
            .ops(&["pooler", "show", "databases", "--json"])
            .ok()
            .json();
        rows["rows"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["paused"] == "1")
    }
}
