//! A stack with the trading application's role and database, logins from the host, and load.

use std::process::{Child, Command, Stdio};

use crate::host::{Host, POSTGRES_IMAGE, docker};

pub const ROLE: &str = "trading_app_user";
pub const KEY: &str = "TRADING_APP_DB_PASSWORD";
const AGREED_WITHIN: std::time::Duration = std::time::Duration::from_secs(20);

/// A stack that runs, with the role's database and a table in it.
pub fn trading() -> Host {
    let host = Host::running();
    let password = host.env(KEY);
    for (database, sql) in [
        (
            "postgres",
            format!("create role {ROLE} login password '{password}'"),
        ),
        (
            "postgres",
            format!("create database trading_db owner {ROLE}"),
        ),
        (
            "trading_db",
            format!("set role {ROLE}; create table t as select generate_series(1, 100) n"),
        ),
    ] {
        host.psql(database, &sql).ok();
    }
    host
}

/// The address of a service's container.
pub fn address(host: &Host, service: &str) -> String {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let run = docker(&["inspect", "--format", format, &host.container(service)]).ok();
    run.out.trim().to_owned()
}

/// What a login through a service's port is answered: a row, or the server's words.
pub fn ask(host: &Host, service: &str, login: [&str; 3], sql: &str) -> Result<String, String> {
    let [user, password, database] = login;
    let mut config = tokio_postgres::Config::new();
    config
        .host(address(host, service))
        .port(if service == "pgbouncer" { 6432 } else { 5432 })
        .user(user)
        .password(password)
        .dbname(database);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let answer = runtime.block_on(async {
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(async move { drop(connection.await) });
        let rows = client.simple_query(sql).await?;
        let row = rows.into_iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok::<_, tokio_postgres::Error>(row.unwrap_or_default())
    });
    answer.map_err(|error| match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    })
}

/// Whether a secret of the role is let in: directly and through PgBouncer.
pub fn doors(host: &Host, user: &str, password: &str) -> [bool; 2] {
    ["postgres", "pgbouncer"].map(|service| {
        match ask(host, service, [user, password, "trading_db"], "select 42") {
            Ok(answer) => answer == "42",
            Err(error) => {
                let refused = [
                    "authentication failed",
                    "not permitted to log in",
                    "no such user",
                ];
                assert!(
                    refused.iter().any(|words| error.contains(words)),
                    "{service}: {error}"
                );
                false
            }
        }
    })
}

/// Which secret of a rotation that was cut short is let in, the new one or the old: in the end one
/// of them everywhere, and the other nowhere, without another run.
#[track_caller]
pub fn one_of_both(host: &Host, journal: &str) -> &'static str {
    let journal: serde_json::Value = serde_json::from_str(journal).unwrap();
    let secret = |side: &str| journal[side]["secret"].as_str().unwrap().to_owned();
    let answers = || ["to", "from"].map(|side| doors(host, ROLE, &secret(side)));
    fixtures::wait::until("both servers to agree", AGREED_WITHIN, || {
        Ok(match answers() {
            [[true, true], [false, false]] => Some("to"),
            [[false, false], [true, true]] => Some("from"),
            _ => None,
        })
    })
    .unwrap_or_else(|error| panic!("{error:#}: {:?}", answers()))
}

/// Clients that stay connected through PgBouncer and work, saying each second how that goes.
pub fn load(host: &Host) -> Child {
    let script = format!(
        "echo 'begin; select count(*) from t; update t set n = n where n = 1; end;' > /tmp/s && exec pgbench -n -f /tmp/s -c 4 -j 1 -T 3600 -P 1 -h {} -p 6432 -U {ROLE} trading_db",
        host.container("pgbouncer")
    );
    Command::new("docker")
        .args(["run", "--rm", "--network", &host.network()])
        .args(["--env", &format!("PGPASSWORD={}", host.env(KEY))])
        .args(["--name", &format!("{}-load", host.prefix)])
        .args(["--entrypoint", "bash", POSTGRES_IMAGE, "-c", &script])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(host.path("load.log")).unwrap())
        .spawn()
        .unwrap()
}

/// Until its clients are connected.
pub fn wait_for_load(host: &Host) {
    let sql = format!("select count(*) from pg_stat_activity where usename = '{ROLE}'");
    while host.psql("postgres", &sql).ok().out.trim() == "0" {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Ends it: about how many transactions there were, none of them failed.
#[track_caller]
pub fn none_failed(host: &Host, mut load: Child) -> f64 {
    docker(&["kill", &format!("{}-load", host.prefix)]).ok();
    load.wait().unwrap();
    let text = host.read("load.log");
    let seconds: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("progress: "))
        .collect();
    let none_failed = seconds.iter().all(|line| line.ends_with(", 0 failed"));
    // A client that lost its connection is told of, and the others go on.
    let bad = ["aborted", "FATAL", "ERROR"];
    assert!(
        none_failed && !bad.iter().any(|word| text.contains(word)),
        "{text}"
    );
    let tps = seconds.iter().filter_map(|line| {
        let (_, rest) = line.split_once(" s, ")?;
        rest.split_once(" tps")?.0.parse::<f64>().ok()
    });
    tps.sum()
}

/// The milliseconds for which a rotation says that clients waited.
pub fn waited(run: &crate::host::Run) -> u64 {
    let text = run
        .out
        .lines()
        .find_map(|line| line.strip_prefix("PgBouncer's clients waited "));
    let text = text.unwrap_or_else(|| panic!("{}", run.all()));
    text.trim_end_matches(" ms").parse().unwrap()
}

/// Writes an application of one service; `environment` is YAML in braces.
pub fn application(host: &Host, environment: &str, command: &str, health: &str) {
    let folder = host.path("apps/trading-app");
    std::fs::create_dir_all(&folder).unwrap();
    let health = if health.is_empty() {
        String::new()
    } else {
        format!(
            "    healthcheck: {{test: [CMD-SHELL, '{health}'], interval: 1s, retries: 3, timeout: 60s}}\n"
        )
    };
    let compose = format!(
        "name: {}-app
services:
  distributor:
    image: {POSTGRES_IMAGE}
    container_name: {}
    entrypoint: [bash, -c]
    environment: {environment}
    command: ['{command}']
    volumes: ['{}:/out']
    stop_signal: SIGKILL
{health}networks: {{default: {{name: {}, external: true}}}}
",
        host.prefix,
        host.container("distributor"),
        host.path("out").display(),
        host.network()
    );
    std::fs::create_dir_all(host.path("out")).unwrap();
    std::fs::write(folder.join("compose.yaml"), compose).unwrap();
    std::fs::write(folder.join(".env"), "OWN=own\n").unwrap();
    host.ops(&["app", "up", "trading-app"]).ok();
}

/// A variable of the application's container.
pub fn variable(host: &Host, name: &str) -> String {
    let format = "{{range .Config.Env}}{{println .}}{{end}}";
    let run = docker(&[
        "inspect",
        "--format",
        format,
        &host.container("distributor"),
    ])
    .ok();
    let value = run
        .out
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name}=")));
    value.unwrap().to_owned()
}

pub fn is_paused(host: &Host) -> bool {
    let state = host.ops(&["pooler", "show", "state", "--json"]).ok().json();
    let rows = state["rows"].as_array().unwrap();
    rows.iter()
        .any(|row| row["key"] == "paused" && row["value"] == "yes")
}
