//! The restore drill: a set counts only after it was restored.

mod redis;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bollard::Docker;
use bytesize::ByteSize;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::backup::catalog::Catalog;
use crate::backup::check;
use crate::backup::key::Identities;
use crate::backup::listing::{Proof, Set};
use crate::backup::manifest::{Database, Manifest};
use crate::backup::open::Opener;
use crate::backup::progress::Progress;
use crate::backup::psql::{LOCK_WAIT_SECONDS, Place};
use crate::backup::server::Server;
use crate::backup::store::Store;
use crate::backup::target::{Target, read_catalog};
use crate::backup::throwaway::{self, Caps, Spec, Throwaway, image_of};
use crate::disk;
use crate::exit::Exit;
use crate::failure::{self, Failure};
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
    /// How long a container may take until it answers.
    pub ready_max: Duration,
    /// When it has to end: its window closes.
    pub end: Option<Instant>,
    /// Ends it.
    pub interrupt: &'a Interrupt,
    /// Removes the containers should this run be killed.
    pub guard: &'a Guard,
}

impl Drill<'_> {
    /// Restores the set and says what it found; every container is gone afterwards.
    ///
    /// # Errors
    /// When no drill can be held to its end: [`Exit::REFUSED`] for want of room, an image or time,
    /// [`Exit::REMOTE_UNREACHABLE`] when a container does not get ready or ends. What cannot be
    /// restored is no error but a fault in the proof.
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
            () = self.window_ends() => Err(too_long(began.elapsed())),
        };
        throwaway::sweep(self.docker, run).await?;
        held.done();
        if let Err(error) = drilled {
            self.interrupt.check()?;
            if !is_fault_of_set(&error) {
                return Err(error.context("the set was not drilled"));
            }
            proof.faults.push(format!("{error:#}"));
        }
        proof.complete = self.only.is_empty() && proof.faults.is_empty();
        proof.seconds = began.elapsed().as_secs_f64();
        Ok(proof)
    }

    async fn window_ends(&self) {
        match self.end {
            Some(end) => tokio::time::sleep_until(end.into()).await,
            None => std::future::pending().await,
        }
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
        let work =
            async |container: &Throwaway| self.databases(opener, run, container, proof).await;
        Throwaway::serve(self.docker, run, spec, false, work).await
    }

    async fn databases(
        &self,
        opener: &Opener<'_>,
        run: &str,
        container: &Throwaway,
        proof: &mut Proof,
    ) -> anyhow::Result<()> {
        let manifest = opener.manifest;
        let place = Place {
            container: container.id().to_owned(),
            user: manifest.cluster.superuser.clone(),
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
        container.ready(place.program(ask), self.ready_max).await?;
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
        Ok(())
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

fn too_long(after: Duration) -> anyhow::Error {
    let what = format!("the window ended after {} s of it", after.as_secs());
    Failure::refused(what)
        .try_next("a longer window, more --cpus, or another host")
        .into()
}

/// Whether an error shows that the set cannot be restored: neither the engine, the way to the store,
/// nor a container that did not get ready.
fn is_fault_of_set(error: &anyhow::Error) -> bool {
    if let Some(failure) = failure::of(error) {
        return !matches!(failure.exit(), Exit::REFUSED | Exit::REMOTE_UNREACHABLE);
    }
    let of_the_way = |cause: &(dyn std::error::Error + 'static)| {
        let remote = cause.downcast_ref::<oci::Error>();
        cause.is::<bollard::errors::Error>()
            || remote.is_some_and(|error| error.kind() != oci::ErrorKind::Archived)
    };
    !error.chain().any(of_the_way)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_restored_is_the_sets_fault() {
        let failure = |exit| anyhow::Error::from(Failure::new(exit, "x")).context("restore");
        assert!(is_fault_of_set(&failure(Exit::VERIFICATION_FAILED)));
        assert!(is_fault_of_set(&anyhow::anyhow!(
            "pg_restore ended with code 1"
        )));
        assert!(!is_fault_of_set(&failure(Exit::REMOTE_UNREACHABLE)));
        assert!(!is_fault_of_set(&too_long(Duration::ZERO)));
        let engine = bollard::errors::Error::RequestTimeoutError;
        let engine = anyhow::Error::from(engine).context("make a container");
        assert!(!is_fault_of_set(&engine));
    }
}
