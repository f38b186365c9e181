//! PgBouncer's clients wait while a database changes under them.

use anyhow::{Context as _, anyhow};

use crate::backup::psql::identifier;
use crate::failure::Failure;
use crate::pooler::Console;

/// PgBouncer's console, for one swap.
pub struct Pooler(Console);

impl Pooler {
    /// Through a console that is connected.
    pub fn new(console: Console) -> Self {
        Self(console)
    }

    /// Lets clients of a database wait. What cannot be paused in the console's time is let go on.
    ///
    /// # Errors
    /// When the time is up, or PgBouncer's words.
    pub async fn pause(&self, database: &str) -> anyhow::Result<()> {
        let paused = self.0.run(&format!("PAUSE {}", identifier(database))).await;
        if let Err(error) = paused {
            // Whether it takes effect after all is not known.
            let _ = self.resume(database).await;
            let what = format!("clients of {database} did not end their transactions in time");
            return Err(anyhow!(error)
                .context(Failure::refused(what).try_next("end them, or choose a quieter moment")));
        }
        Ok(())
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// PgBouncer's words: then `RESUME` is to be given by hand.
    pub async fn resume(&self, database: &str) -> anyhow::Result<()> {
        let resume = format!("RESUME {}", identifier(database));
        let resumed = self.0.run(&resume).await;
        resumed
            .map(drop)
            .with_context(|| format!("give PgBouncer's console: {resume};"))
    }
}

impl std::fmt::Debug for Pooler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pooler")
    }
}
