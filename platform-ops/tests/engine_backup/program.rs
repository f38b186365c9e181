//! Programs in a container, where what they write and how they end are two things.

use bollard::Docker;
use bytes::Bytes;
use platform_ops::backup::container;
use platform_ops::backup::exec::{Process, Program};
use platform_ops::backup::key::Recipients;
use platform_ops::backup::manifest::Compression;
use platform_ops::backup::progress::Progress;
use platform_ops::backup::seal::Recipe;
use platform_ops::backup::store::Store;
use platform_ops::backup::stream;

use crate::host::{POSTGRES_IMAGE, docker};

/// A container that does nothing.
struct Idle(String);

impl Idle {
    fn start(name: &str, more: &[&str]) -> Self {
        let name = format!("opst{}-{name}", std::process::id());
        let command = ["run", "--detach", "--network", "none", "--name", &name];
        let idle = ["--entrypoint", "sleep", POSTGRES_IMAGE, "600"];
        docker(&[&command[..], more, &idle].concat()).ok();
        Self(name)
    }

    fn shell(&self, script: &str) -> Program {
        Program::new(&self.0, ["sh", "-c", script])
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        docker(&["rm", "--force", &self.0]);
    }
}

fn engine() -> Docker {
    Docker::connect_with_local_defaults().unwrap()
}

async fn read(process: &mut Process) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = process.next().await.unwrap() {
        all.extend_from_slice(&piece);
    }
    all
}

/// T01: a producer that fails behind what it wrote makes no object, whatever a pipe would say.
#[tokio::test(flavor = "multi_thread")]
async fn t01_a_program_that_fails_after_it_wrote_makes_no_object() {
    let idle = Idle::start("t01", &[]);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Folder(folder.path().to_owned());
    let recipe = Recipe {
        name: "dump".to_owned(),
        compression: Compression::Zstd,
        recipients: Recipients::default(),
        chunk_bytes: 1 << 20,
    };
    let docker = engine();
    let program = idle.shell("printf PGDMP; echo 'no space left' >&2; exit 3");
    let produce = |sink: tokio::sync::mpsc::Sender<Bytes>| async move {
        let mut process = Process::start(&docker, program).await?;
        while let Some(piece) = process.next().await? {
            stream::send(&sink, piece).await?;
        }
        process.finish().await.map(drop)
    };
    let stored = stream::store(&store, "set", recipe, &Progress::silent(), produce).await;
    let error = format!("{:#}", stored.unwrap_err());
    assert!(
        error.contains("code 3") && error.contains("no space left"),
        "{error}"
    );
    assert_eq!(store.list("").await.unwrap(), []);
}

/// T06: a terminal would change line ends, and with them every dump.
#[tokio::test]
async fn t06_bytes_pass_as_they_are() {
    let idle = Idle::start("t06", &[]);
    let script = r"printf 'a\nb\r\nc\r\r\n\000\377\033[1m\004'";
    let mut process = Process::start(&engine(), idle.shell(script)).await.unwrap();
    let bytes = read(&mut process).await;
    process.finish().await.unwrap();
    assert_eq!(bytes, b"a\nb\r\nc\r\r\n\x00\xff\x1b[1m\x04");
}

/// T08: a stream that ends because its container was killed is no success.
#[tokio::test]
async fn t08_a_stream_that_breaks_off_is_a_failure() {
    let idle = Idle::start("t08", &[]);
    let program = idle.shell("echo x; exec sleep 600");
    let mut process = Process::start(&engine(), program).await.unwrap();
    assert_eq!(&process.next().await.unwrap().unwrap()[..], b"x\n");
    docker(&["kill", &idle.0]).ok();
    process.finish().await.unwrap_err();
}

/// T17: a container that was renamed is found by its service, and of two that match none is guessed.
#[tokio::test]
async fn t17_of_two_containers_of_a_service_none_is_guessed() {
    let service = format!("opst{}", std::process::id());
    let label = format!("com.docker.compose.service={service}");
    let first = Idle::start("t17-renamed", &["--label", &label]);
    let docker = engine();
    let found = container::find(&docker, "postgres-of-old", Some(&service)).await;
    assert_eq!(found.unwrap().unwrap().name, first.0);
    let _second = Idle::start("t17-other", &["--label", &label]);
    let several = container::find(&docker, "postgres-of-old", Some(&service)).await;
    let error = format!("{:#}", several.unwrap_err());
    assert!(error.contains("2 running containers"), "{error}");
    // Part of a name is no name.
    assert!(
        container::find(&docker, &first.0[..8], None)
            .await
            .unwrap()
            .is_none()
    );
}

/// A dump is held to as many CPUs as it may take.
#[tokio::test]
async fn a_program_is_held_to_its_cpus() {
    let idle = Idle::start("cpus", &[]);
    let script = "read _; grep Cpus_allowed_list /proc/self/status";
    let mut program = idle.shell(script);
    program.has_input = true;
    let mut process = Process::start(&engine(), program).await.unwrap();
    process.limit_cpus(1).await.unwrap();
    process.write(b"\n").await.unwrap();
    let text = String::from_utf8(read(&mut process).await).unwrap();
    process.finish().await.unwrap();
    let list = text.split_whitespace().last().unwrap();
    assert!(list.chars().all(|c| c.is_ascii_digit()), "{text}");
}

/// What is large passes beside the engine, and by it where the container has no place for a pipe.
#[tokio::test(flavor = "multi_thread")]
async fn large_output_is_whole_by_a_pipe_and_without_one() {
    for (name, more, is_piped) in [("pipe", &[][..], true), ("bare", &["--read-only"], false)] {
        let idle = Idle::start(name, more);
        let script = "to=$(readlink /proc/$$/fd/1); echo $to >&2; seq 1 1000000; exit 3";
        let mut program = idle.shell(script);
        program.is_large = true;
        let mut process = Process::start(&engine(), program).await.unwrap();
        let bytes = read(&mut process).await;
        assert_eq!(bytes.len(), 6_888_896, "{name}");
        assert!(bytes.ends_with(b"\n999999\n1000000\n"), "{name}");
        let error = format!("{:#}", process.finish().await.unwrap_err());
        assert!(error.contains("code 3"), "{name}: {error}");
        assert_eq!(error.contains(".pipe"), is_piped, "{name}: {error}");
        let mut missing = Program::new(&idle.0, ["no-such-program"]);
        missing.is_large = true;
        let mut process = Process::start(&engine(), missing).await.unwrap();
        assert_eq!(read(&mut process).await, b"", "{name}");
        let error = format!("{:#}", process.finish().await.unwrap_err());
        assert!(error.contains("code 127"), "{name}: {error}");
        let left = docker(&["exec", &idle.0, "ls", "/tmp"]).ok();
        assert!(!left.out.contains("platform-ops"), "{name}: {}", left.out);
    }
}
