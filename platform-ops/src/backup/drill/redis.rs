//! Redis in a drill.

use anyhow::Context as _;

use super::Drill;
use crate::backup::exec::{self, Program};
use crate::backup::listing::Proof;
use crate::backup::manifest::Redis;
use crate::backup::open::Opener;
use crate::backup::target::put_file;
use crate::backup::throwaway::{Spec, Throwaway, image_of};

impl Drill<'_> {
    /// Loads the set's Redis in a container of its own.
    ///
    /// # Errors
    /// When it cannot be loaded; another number of keys is a fault in the proof.
    pub(super) async fn redis(
        &self,
        opener: &Opener<'_>,
        run: &str,
        proof: &mut Proof,
    ) -> anyhow::Result<()> {
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
        let work = async |container: &Throwaway| self.load(opener, redis, container, proof).await;
        // It ends by itself over a file that it cannot load.
        Throwaway::serve(self.docker, run, spec, true, work).await
    }

    async fn load(
        &self,
        opener: &Opener<'_>,
        redis: &Redis,
        container: &Throwaway,
        proof: &mut Proof,
    ) -> anyhow::Result<()> {
        let object = opener.manifest.object(&redis.object)?;
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
        container.ready(program(&ping), self.ready_max).await?;
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
        Ok(())
    }
}
