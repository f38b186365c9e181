//! A stranger has the bucket, the age key and a shell: the blocks of docs/backup.md are run as they
//! stand there, with Debian's and Oracle's tools.

use std::path::Path;
use std::process::Command;

use fixtures::emulator::{Credential, Emulator, Options};

use crate::host::{REDIS_IMAGE, Run, docker};
use crate::setup::Platform;

const IMAGE: &str = "platform-test/recovery:1";

/// The shell blocks of the section, in order, without their indentation.
fn blocks() -> Vec<String> {
    let text = include_str!("../../../docs/backup.md");
    let begin = text.find("## Recovery by hand").unwrap();
    let end = text.find("## What counts").unwrap();
    let mut blocks: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text[begin..end].lines() {
        let line = line.strip_prefix("   ").unwrap_or(line);
        match (inside, line) {
            (false, "```sh") => blocks.push(String::new()),
            (true, "```") => {}
            (true, line) => {
                let block = blocks.last_mut().unwrap();
                *block += line;
                *block += "\n";
                continue;
            }
            _ => continue,
        }
        inside = !inside;
    }
    blocks
}

/// Runs a script with bash on this machine, in the stranger's folder.
fn here(folder: &Path, script: &str, cloud: &Cloud) -> Run {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let tools = root.join(".cache/venv/bin");
    assert!(tools.join("oci").exists(), "run scripts/python-venv");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .env("PATH", path)
        .env("OCI_CLI_CONFIG_FILE", &cloud.credential.config_file)
        .env("OCI_CLI_ENDPOINT", cloud.emulator.url())
        .env("OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING", "True")
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap();
    output.into()
}

struct Cloud {
    emulator: Emulator,
    credential: Credential,
}

struct Containers(Vec<String>);

impl Drop for Containers {
    fn drop(&mut self) {
        for name in &self.0 {
            docker(&["rm", "--force", "--volumes", name]);
        }
    }
}

/// A bucket that `platform` backs up to from now on.
fn cloud(platform: &Platform, folder: &Path) -> Cloud {
    let credential = Credential::create(&folder.join("oci")).unwrap();
    let mut options = Options {
        keyring: credential.keyring(),
        ..Options::default()
    };
    options.objects.buckets = vec!["backups".to_owned()];
    let emulator = Emulator::start(options).unwrap();
    platform.configure(&format!(
        "{}\n[bucket]\nname = \"backups\"\nendpoint = {:?}\nauth = \"api_key\"\nconfig_file = {:?}\n",
        platform.recipients(),
        emulator.url(),
        credential.config_file
    ));
    Cloud {
        emulator,
        credential,
    }
}

/// A shell beside an empty server, in which the stranger's folders are mounted.
fn start_shell(name: &str, work: &Path, data: &Path) {
    let mount = |from: &Path, to: &str| format!("{}:{to}", from.display());
    let run = ["run", "--detach", "--network", "none", "--name", name];
    let (work, data) = (mount(work, "/work"), mount(data, "/srv/data"));
    let mounts = ["--workdir", "/work", "--volume", &work, "--volume", &data];
    let variables = [
        "POSTGRES_USER=platform_admin",
        "POSTGRES_DB=postgres",
        "POSTGRES_HOST_AUTH_METHOD=trust",
    ];
    let variables = variables.iter().flat_map(|variable| ["--env", variable]);
    let variables: Vec<&str> = variables.collect();
    docker(&[&run[..], &mounts, &variables, &[IMAGE, "-c", "fsync=off"]].concat()).ok();
    crate::host::wait_for_postgres(name);
}

/// Whether a block only sets variables: what the reader fills in.
fn is_given(block: &str) -> bool {
    let sets = |line: &str| {
        line.split_once('=')
            .is_some_and(|(name, _)| !name.contains(' '))
    };
    block.lines().all(sets)
}

#[test]
fn a_stranger_recovers_with_the_bucket_the_key_and_the_page() {
    let platform = Platform::new();
    let folder = tempfile::tempdir().unwrap();
    let cloud = cloud(&platform, folder.path());
    let comment = "comment on database trading_db is 'it''s the one';";
    platform.sql("postgres", comment);
    let set = platform.create(&["--no-drill"]);

    let (work, data) = (folder.path().join("work"), folder.path().join("data"));
    std::fs::create_dir(&work).unwrap();
    std::fs::copy(platform.key(), work.join("key.txt")).unwrap();
    let shell = format!("{}-stranger", platform.host.prefix);
    let redis = format!("{}-recovery", platform.host.prefix);
    let _containers = Containers(vec![shell.clone(), redis.clone()]);
    start_shell(&shell, &work, &data);

    let config = platform.host.root().join("config");
    let (mut given, mut seen) = (String::new(), String::new());
    for block in blocks() {
        if is_given(&block) {
            given += &block
                .replace("/srv/config", config.to_str().unwrap())
                .replace("20260102T030405Z-1a2b3c4d", &set);
            continue;
        }
        let script = format!("{given}{block}");
        let run = if block.contains("oci ") || block.contains("docker ") {
            let script = script
                .replace("redis-recovery", &redis)
                .replace("redis:7.2", REDIS_IMAGE)
                .replace("/srv/data", data.to_str().unwrap());
            here(&work, &script, &cloud)
        } else {
            docker(&["exec", &shell, "bash", "-euo", "pipefail", "-c", &script])
        };
        assert_eq!(run.code, 0, "{block}\n{}", run.all());
        seen += &run.out;
    }
    assert!(seen.contains(&format!("{set}/manifest.json")), "{seen}");
    assert!(
        seen.contains("database/trading_db.pgdump.age: OK"),
        "{seen}"
    );
    assert!(
        data.join("redis/appendonlydir").is_dir() && seen.contains("\n50\n"),
        "{seen}"
    );
    is_the_source(&platform, &shell);
    let file = config.join("platform.env");
    let restored = ["exec", &shell, "sha256sum", file.to_str().unwrap()];
    let sum = Command::new("sha256sum").arg(&file).output().unwrap();
    assert_eq!(
        docker(&restored).ok().out,
        String::from_utf8_lossy(&sum.stdout)
    );
}

fn is_the_source(platform: &Platform, shell: &str) {
    let ask = |container: &str, sql: &str| {
        let psql = [
            "exec",
            container,
            "psql",
            "-XAtq",
            "-U",
            "platform_admin",
            "-d",
            "trading_db",
            "-c",
        ];
        docker(&[&psql[..], &[sql]].concat()).ok().out
    };
    let source = platform.host.container("postgres");
    for sql in [
        "select md5(string_agg(t::text, '|' order by id)) from app.orders t",
        "select md5(string_agg(t::text, '|' order by id)) from public.chunks t",
        "select last_value from app.orders_id_seq",
        "select pg_get_userbyid(datdba), array(select unnest(datacl)::text order by 1), shobj_description(oid, 'pg_database') \
         from pg_database where datname = 'trading_db'",
        "select coalesce(r.rolname, '-'), setconfig from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole \
         join pg_database d on d.oid = s.setdatabase where d.datname = 'trading_db' order by 1",
        "select rolname, rolcanlogin from pg_roles where rolname !~ '^pg_' order by 1",
    ] {
        assert_eq!(ask(shell, sql), ask(&source, sql), "{sql}");
    }
}
