//! The restore drill: a set counts only after it was restored.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use bollard::Docker;
use bytesize::ByteSize;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::backup::catalog::Catalog;
use crate::backup::check;
use crate::backup::container::is_missing;
use crate::backup::exec::{self, Program};
use crate::backup::key::Identities;
use crate::backup::listing::{Proof, Set};
use crate::backup::manifest::{Database, Manifest};
use crate::backup::open::Opener;
use crate::backup::progress::Progress;
use crate::backup::psql::{LOCK_WAIT_SECONDS, Place};
use crate::backup::server::Server;
use crate::backup::store::Store;
use crate::backup::target::{Target, put_file, read_catalog};
use crate::backup::throwaway::{self, Caps, Spec, Throwaway};
use crate::disk;
use crate::failure::Failure;
use crate::guard::{Duty, Guard};
use crate::interrupt::Interrupt;

/// How to drill.
#[derive(Debug)]
pub struct Drill<'a> {
    /// The engine.
    pub docker: &'a Docker,
    /// Where the set is.
    pub store: &'a Store,
    /// Keys to open it.
    pub identities: &'a Identities,
    /// `run` or `escrow`.
    pub identity: &'a str,
    /// Only these databases, and no Redis; all of the set when empty.
    pub only: Vec<String>,
    /// How much of the host it may use.
    pub caps: Caps,
    /// Jobs of pg_restore.
    pub jobs: usize,
    /// Ends it.
    pub interrupt: &'a Interrupt,
    /// Removes the containers should this run be killed.
    pub guard: &'a Guard,
}

impl Drill<'_> {
    /// Restores the set and says what it found; every container is gone afterwards.
    ///
    /// # Errors
    /// When no drill can be held; a set that cannot be restored is a fault in the proof.
    pub async fn hold(&self, set: &Set, progress: &Progress) -> anyhow::Result<Proof> {
        self.require_room(&set.manifest).await?;
        let began = Instant::now();
        let mut proof = Proof::begin(
            set.id(),
            &set.manifest_sha256,
            self.identity,
            Timestamp::now(),
        );
        let run = set.id();
        // That an image is not here is no fault of the set.
        image_of(self.docker, &set.manifest, "postgres").await?;
        if self.only.is_empty() && set.manifest.redis.is_some() {
            image_of(self.docker, &set.manifest, "redis").await?;
        }
        let held = self.guard.hold(Duty::Remove(run.to_owned()))?;
        throwaway::sweep(self.docker, run).await?;
        let opener = Opener {
            store: self.store,
            manifest: &set.manifest,
            identities: self.identities,
            progress,
        };
        let drilled = async {
            self.postgres(&opener, run, &mut proof).await?;
            if self.only.is_empty() {
                self.redis(&opener, run, &mut proof).await?;
                self.folders(&opener, &mut proof).await?;
            }
            anyhow::Ok(())
        };
        let drilled = tokio::select! {
            drilled = drilled => drilled,
            () = self.interrupt.wait() => Err(self.interrupt.failure().into()),
        };
        throwaway::sweep(self.docker, run).await?;
        held.done();
        if let Err(error) = drilled {
            self.interrupt.check()?;
            proof.faults.push(format!("{error:#}"));
        }
        proof.complete = self.only.is_empty() && proof.faults.is_empty();
        proof.seconds = began.elapsed().as_secs_f64();
        Ok(proof)
    }

    /// A drill that fills the disk ends the databases that it is for.
    async fn require_room(&self, manifest: &Manifest) -> anyhow::Result<()> {
        let info = self
            .docker
            .info()
            .await
            .context("ask the engine where it keeps containers")?;
        let Some(folder) = info.docker_root_dir else {
            return Ok(());
        };
        // The archive lies beside what comes of it.
        let databases = manifest.databases.iter().map(|database| {
            let archive = manifest.object(&database.object);
            database.bytes + archive.map_or(0, |archive| archive.plain_bytes)
        });
        let redis = manifest.redis.iter().filter_map(|redis| {
            let object = manifest.object(&redis.object).ok()?;
            Some(object.plain_bytes)
        });
        let needed = databases.chain(redis).sum::<u64>() + disk::FLOOR_BYTES;
        let free = disk::room(Path::new(&folder))?.bytes_free;
        if free < needed {
            let what = format!(
                "a drill may need {} in {folder}, where {} are free",
                ByteSize(needed),
                ByteSize(free)
            );
            return Err(Failure::refused(what)
                .try_next(
                    "make room, or hold it on another host: backup drill --identity FILE there",
                )
                .into());
        }
        Ok(())
    }

    async fn postgres(
        &self,
        opener: &Opener<'_>,
        run: &str,
        proof: &mut Proof,
    ) -> anyhow::Result<()> {
        let manifest = opener.manifest;
        let image = image_of(self.docker, manifest, "postgres").await?;
        let user = &manifest.cluster.superuser;
        let environment = vec![
            format!("POSTGRES_USER={user}"),
            "POSTGRES_DB=postgres".to_owned(),
            // There is no network to reach it by.
            "POSTGRES_HOST_AUTH_METHOD=trust".to_owned(),
            "POSTGRES_PASSWORD=unused".to_owned(),
            "POSTGRES_INITDB_ARGS=--no-sync".to_owned(),
        ];
        let mut command = vec![
            "postgres".to_owned(),
            "-c".to_owned(),
            "fsync=off".to_owned(),
        ];
        let preload = |name: &str| name == "shared_preload_libraries";
        if let Some(setting) = manifest
            .cluster
            .settings
            .iter()
            .find(|one| preload(&one.name))
        {
            command.extend([
                "-c".to_owned(),
                format!("{}={}", setting.name, setting.value),
            ]);
        }
        let spec = Spec {
            image,
            environment,
            command,
            caps: self.caps,
            binds: Vec::new(),
        };
        let container = Throwaway::start(self.docker, run, spec).await?;
        let place = Place {
            container: container.id().to_owned(),
            user: user.clone(),
            application: format!("platform-ops:{run}"),
            lock_wait_seconds: LOCK_WAIT_SECONDS,
        };
        // Over TCP: during initdb the server listens on its socket only, and that is not up yet.
        let ask = [
            "psql",
            "-XAtqw",
            "-h",
            "127.0.0.1",
            "-d",
            "postgres",
            "-c",
            "select 1",
        ];
        container.ready(place.program(ask)).await?;
        let target = Target {
            server: Server::new(self.docker.clone(), place),
            jobs: self.jobs,
        };
        target.globals(opener).await?;
        let catalog = read_catalog(opener).await?;
        for database in &manifest.databases {
            if !self.only.is_empty() && !self.only.contains(&database.name) {
                continue;
            }
            self.database(opener, &target, &catalog, database, proof)
                .await?;
        }
        container.remove().await
    }

    async fn database(
        &self,
        opener: &Opener<'_>,
        target: &Target,
        catalog: &Catalog,
        database: &Database,
        proof: &mut Proof,
    ) -> anyhow::Result<()> {
        let name = &database.name;
        let began = Instant::now();
        if name == "postgres" {
            target
                .server
                .script("template1", "drop database postgres;\n")
                .await?;
        }
        target.restore(opener, catalog, database, name).await?;
        let server = &target.server;
        let mut findings = check::compare(server, name, database, catalog.of(name)).await?;
        let grants = check::grants(server, name).await?;
        if database.grants == grants {
            findings
                .right
                .push(format!("{name}: grants on schemas and tables"));
        } else {
            findings
                .wrong
                .push(format!("{name}: grants on schemas or tables differ"));
        }
        findings.extend(check::probe(server, name, name).await?);
        findings.right.push(format!(
            "{name}: restored in {:.1} s",
            began.elapsed().as_secs_f64()
        ));
        proof.checks.extend(findings.right);
        proof.faults.extend(findings.wrong);
        proof.databases.push(name.clone());
        Ok(())
    }

    async fn redis(&self, opener: &Opener<'_>, run: &str, proof: &mut Proof) -> anyhow::Result<()> {
        let manifest = opener.manifest;
        let Some(redis) = &manifest.redis else {
            return Ok(());
        };
        let image = image_of(self.docker, manifest, "redis").await?;
        // It waits for its file: Redis loads an RDB at its start only.
        let wait = "while [ ! -e /data/go ]; do sleep 0.1; done; \
            exec redis-server --dir /data --save '' --appendonly no";
        let command = ["sh", "-c", wait].map(str::to_owned).to_vec();
        let spec = Spec {
            image,
            command,
            caps: self.caps,
            ..Spec::default()
        };
        let container = Throwaway::start(self.docker, run, spec).await?;
        let object = manifest.object(&redis.object)?;
        put_file(
            self.docker,
            container.id(),
            opener,
            object,
            "/data/dump.rdb",
        )
        .await?;
        let program = |command: &[&str]| Program::new(container.id(), command.iter().copied());
        let report = program(&["redis-check-rdb", "/data/dump.rdb"]);
        let report = exec::text(self.docker, report, b"")
            .await
            .context("check the RDB")?;
        let count = |what: &str| -> Option<u64> {
            let line = report
                .lines()
                .find(|line| line.trim_end().ends_with(what))?;
            line.split_whitespace()
                .rev()
                .nth(what.split_whitespace().count())?
                .parse()
                .ok()
        };
        let read = count("keys read").context("redis-check-rdb does not say how many keys")?;
        let expired = count("already expired").unwrap_or(0);
        exec::text(self.docker, program(&["touch", "/data/go"]), b"").await?;
        let ping = ["sh", "-c", "redis-cli -e ping | grep -qx PONG"];
        container.ready(program(&ping)).await?;
        let info = exec::text(
            self.docker,
            program(&["redis-cli", "-e", "info", "keyspace"]),
            b"",
        );
        let loaded = crate::backup::redis::keys_in(&info.await?);
        let [low, high] = [
            redis.keys[0].min(redis.keys[1]),
            redis.keys[0].max(redis.keys[1]),
        ];
        if loaded + expired < read || read < low.saturating_sub(expired) || read > high {
            proof.faults.push(format!(
                "Redis: {loaded} keys loaded of {read} in the file, where {low} to {high} were saved"
            ));
        } else {
            proof.checks.push(format!("Redis: {loaded} keys"));
        }
        container.remove().await
    }

    /// An archive that opens to its end is whole.
    async fn folders(&self, opener: &Opener<'_>, proof: &mut Proof) -> anyhow::Result<()> {
        for folder in &opener.manifest.folders {
            let object = opener.manifest.object(&folder.object)?;
            let (sender, pieces) = mpsc::channel(4);
            let counting = tokio::task::spawn_blocking(move || crate::backup::tree::count(pieces));
            opener.open(object, sender).await?;
            let files = counting.await.context("read an archive")??;
            if files == folder.files {
                proof.checks.push(format!("{}: {files} files", folder.path));
            } else {
                let wanted = folder.files;
                proof.faults.push(format!(
                    "{}: {files} files instead of {wanted}",
                    folder.path
                ));
            }
        }
        Ok(())
    }
}

/// The image of a service that is here: by its id, or on another host by the digest it is pulled by.
async fn image_of(docker: &Docker, manifest: &Manifest, service: &str) -> anyhow::Result<String> {
    let mut images = manifest.images.iter();
    let image = images.find(|image| image.service == service);
    let image = image.with_context(|| format!("the set names no image of {service}"))?;
    for name in std::iter::once(&image.id).chain(&image.digests) {
        match docker.inspect_image(name).await {
            Ok(_) => return Ok(name.clone()),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error).with_context(|| format!("look for image {name}")),
        }
    }
    let what = format!(
        "the image of {service}, {}, is not on this host",
        image.name
    );
    let hint = match image.digests.first() {
        Some(digest) => format!("docker pull {digest}"),
        None => format!("docker save {} there, docker load here", image.name),
    };
    Err(Failure::refused(what).try_next(hint).into())
}
