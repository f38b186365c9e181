//! Every command but those of rotation.

use std::process::{Command, Stdio};

use super::Canary;
use crate::alembic::{self, Migrator};
use crate::host::{Run, signal_after};

/// A schema whose statements fail in the middle.
const BROKEN_SQL: &str = "create table a ();\nselect 1 / 0;\n";

impl Canary {
    pub(super) fn every_command(&mut self) {
        for (code, arguments) in [
            (0, &["init"][..]),
            (0, &["init", "--dry-run", "--json"]),
            (4, &["adopt", "--dry-run"]),
            (0, &["adopt", "--take", "redis", "--dry-run", "--json"]),
            (0, &["secrets", "list"]),
            (0, &["secrets", "list", "--json"]),
            (0, &["secrets", "check", "--json"]),
            (0, &["pooler", "show", "pools"]),
            (0, &["pooler", "show", "config", "--json"]),
            (0, &["pooler", "pause", "--for", "100ms"]),
            (0, &["pooler", "resume"]),
            (0, &["pooler", "resume", "no_such"]),
            (0, &["pooler", "show", "clients"]),
            (0, &["pooler", "show", "servers", "--json"]),
            (0, &["pooler", "reload"]),
            (0, &["app", "list", "--json"]),
            (0, &["app", "run", "trading-app", "distributor", "exit 0"]),
            (0, &["app", "down", "trading-app"]),
            (0, &["app", "up", "trading-app"]),
            (0, &["logs", "-n", "1000"]),
            (0, &["logs", "--path", "postgres"]),
            (4, &["agent", "status"]),
            (4, &["agent", "check"]),
            (4, &["agent", "pause", "--yes"]),
            (0, &["restart", "redis", "--yes"]),
            (0, &["down", "redis", "--yes"]),
            (0, &["up", "redis", "--json"]),
            (0, &["completions", "bash"]),
        ] {
            self.run(code, arguments);
        }
        for arguments in [
            &["doctor"][..],
            &["doctor", "--json"],
            &["status"],
            &["status", "--json"],
            &["pull"],
        ] {
            self.run_anyhow(arguments);
        }
        self.run_with(
            0,
            &["secrets", "import", "--yes"],
            "OTHER_TOKEN=CanaryImportedabcdefghij\n",
        );
        self.secrets.insert("CanaryImportedabcdefghij".to_owned());
    }

    /// From a host by hand to one that the stack runs.
    pub(super) fn takeover(&mut self) {
        let network = self.host.network();
        self.run(0, &["adopt", "--network", &network, "--dry-run", "--json"]);
        self.run(0, &["adopt", "--network", &network, "--dry-run"]);
        self.run(0, &["adopt", "--network", &network]);
        self.run_anyhow(&["doctor", "--json"]);
        self.run_anyhow(&["status"]);
        for service in ["redis", "postgres", "pgbouncer"] {
            self.run(0, &["adopt", "--take", service, "--dry-run", "--json"]);
            self.run(4, &["adopt", "--take", service, "--no-input"]);
            self.run(0, &["adopt", "--take", service, "--yes"]);
        }
        self.run(0, &["up"]);
        self.run(0, &["logs", "-n", "1000"]);
    }

    pub(super) fn every_database(&mut self) {
        let database = "librarian_db";
        self.run(0, &["app", "add", "librarian", "--dry-run", "--json"]);
        self.run(0, &["app", "add", "librarian"]);
        self.migrator(database);
        let install = ["db", "fresh-install", database, "--confirm", database];
        let undo = ["db", "undo", database, "--confirm", database];
        for (code, arguments) in [
            (0, &["app", "add", "librarian", "--json"][..]),
            (0, &["db", "list"]),
            (0, &["db", "create", "shared", "--role", "librarian_user"]),
            (4, &["db", "create", "shared"]),
            (0, &["db", "migrate", database, "--dry-run", "--json"]),
            (0, &["db", "migrate", database, "--yes"]),
            (0, &["db", "fresh-install", database, "--dry-run", "--json"]),
            (0, &install),
            (0, &["db", "undo", database, "--dry-run", "--json"]),
            (0, &undo),
            (0, &["db", "drop", "shared", "--dry-run", "--json"]),
            (4, &["db", "drop", "shared", "--yes"]),
            (0, &["db", "drop", "shared", "--confirm", "shared"]),
        ] {
            self.run(code, arguments);
        }
        self.run_with(0, &["db", "psql", database], "select current_user;\n");
        self.run_with(3, &["db", "psql", database], "select 1 / 0;\n");
        // Killed between, and finished.
        signal_after(&self.host, 4, "KILL", || self.host.spawn(&install));
        self.run(0, &["db", "list", "--json"]);
        self.run(0, &install);
        self.tells_its_own(database, &install);
        let listed = self.run(0, &["db", "list", "--json"]).json();
        let kept = listed["databases"].as_array().unwrap().iter();
        for kept in kept.filter(|row| row["kept"] == true) {
            let name = kept["name"].as_str().unwrap();
            self.run(0, &["db", "drop", name, "--confirm", name]);
        }
    }

    fn migrator(&self, database: &'static str) {
        let migrator = Migrator {
            project: format!("{}-librarian", self.host.prefix),
            network: self.host.network(),
            server: (self.host.container("pgbouncer"), 6432),
            user: "librarian_user",
            key: "LIBRARIAN_DB_PASSWORD",
            database,
        };
        let folder = self.host.path("apps/librarian");
        migrator.write(&folder);
        std::fs::write(folder.join("init.sql"), "create table a ();\n").unwrap();
        alembic::migration(&folder, "0001", "None", "op.execute('create table b ()')");
    }

    /// What a script or a migrator says of its secret when it fails stays unsaid.
    fn tells_its_own(&mut self, database: &str, install: &[&str]) {
        let folder = self.host.path("apps/librarian");
        let python = "raise Exception('connected with ' + os.environ['DB_PASSWORD'])";
        alembic::migration(&folder, "0002", "'0001'", python);
        let run = self.run(1, &["db", "migrate", database, "--yes"]);
        assert!(
            run.err.contains("connected with [redacted]"),
            "{}",
            run.all()
        );
        self.run(1, &[install, &["--migrate", "upgrade"]].concat());
        std::fs::write(folder.join("init.sql"), BROKEN_SQL).unwrap();
        self.run(1, install);
    }

    /// A crash in the middle, where a dump of memory is allowed: none is left.
    pub(super) fn crash(&mut self, rotate: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        let audit = self.host.path("data/platform-ops/audit.jsonl");
        let read = || std::fs::read_to_string(&audit).unwrap();
        let before = read().len();
        let program = self.command(rotate);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "ulimit -c unlimited && exec \"$0\" \"$@\""])
            .arg(program.get_program())
            .args(program.get_args())
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = shell.spawn().unwrap();
        let limit = std::time::Duration::from_secs(60);
        fixtures::wait::until("the pause", limit, || {
            Ok(read()[before..].contains("PAUSE").then_some(()))
        })
        .unwrap();
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-ABRT", &pid]).status();
        assert!(sent.unwrap().success());
        let run: Run = child.wait_with_output().unwrap().into();
        assert_eq!(run.code, -1, "it was too late: {}", run.all());
        self.learn_journal();
        self.seen.add("output of a crash", run.all());
        let left = std::fs::read_dir(&folder).unwrap().count();
        assert_eq!(left, 0, "the crash left a dump");
    }
}
