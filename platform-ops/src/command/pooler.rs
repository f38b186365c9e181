//! `pooler`: PgBouncer's console. What this pauses it resumes on its way out.

use std::time::Duration;

use anyhow::Context as _;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::guard::Duty;
use crate::pooler::{Console, Row, statement};
use crate::service::Service;
use crate::session::Session;
use crate::settings::Settings;
use crate::stack::Observed;

/// Arguments of `pooler`.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What to ask of the console.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// A table of the console
    #[command(after_help = "Example:\n  platform-ops pooler show pools")]
    Show {
        /// Which
        #[arg(value_enum, default_value_t = Table::Pools)]
        table: Table,
    },
    /// Hold clients back until Ctrl-C, or for a time; then let them go on
    #[command(after_help = "\
Examples:
  platform-ops pooler pause trading_db            until Ctrl-C
  platform-ops pooler pause --for 20s

Clients wait, none is refused. Open transactions are waited for, --within at most: then nothing is
paused. However this ends, also by a kill, clients are let go on.")]
    Pause {
        /// Only clients of this database
        database: Option<String>,
        /// End the pause by itself
        #[arg(long = "for", value_name = "TIME")]
        duration: Option<humantime::Duration>,
        /// How long to wait for open transactions
        #[arg(long, value_name = "TIME", default_value = "10s")]
        within: humantime::Duration,
    },
    /// Let paused clients go on
    Resume {
        /// Only clients of this database
        database: Option<String>,
    },
    /// Let PgBouncer read its files again
    Reload,
}

/// The tables.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Table {
    Pools,
    Databases,
    Clients,
    Servers,
    Stats,
    Config,
    Lists,
    State,
}

/// Carries it out.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let settings = Settings::load(session)?;
    match &arguments.command {
        Command::Show { table } => show(session, &settings, *table).await,
        Command::Pause {
            database,
            duration,
            within,
        } => {
            let _lock = session.lock("pooler pause")?;
            let pause = Pause {
                database: database.as_deref(),
                within: Duration::from(*within),
                duration: duration.map(Duration::from),
            };
            pause.run(session, &settings).await
        }
        Command::Resume { database } => {
            one(session, &settings, "RESUME", database.as_deref()).await
        }
        Command::Reload => one(session, &settings, "RELOAD", None).await,
    }
}

/// Connects to the console of the one container.
async fn console(session: &Session, settings: &Settings) -> anyhow::Result<Console> {
    let observed = Observed::look(session, &settings.names).await?;
    let container = observed
        .one(Service::Pgbouncer)
        .filter(|container| container.is_running());
    let container = container.with_context(|| {
        Failure::refused("PgBouncer does not run").try_next("platform-ops up pgbouncer")
    })?;
    Console::connect(settings, container).await
}

async fn show(session: &Session, settings: &Settings, table: Table) -> anyhow::Result<Exit> {
    let name = format!("{table:?}").to_lowercase();
    let rows = console(session, settings)
        .await?
        .run(&format!("SHOW {name}"))
        .await?;
    session.output.result(
        "pooler",
        &serde_json::json!({"table": name, "rows": rows}),
        || drawn(&rows),
    );
    Ok(Exit::OK)
}

fn drawn(rows: &[Row]) -> String {
    let Some(first) = rows.first() else {
        return "nothing".to_owned();
    };
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(first.keys());
    for row in rows {
        table.add_row(row.values());
    }
    table.to_string()
}

async fn one(
    session: &Session,
    settings: &Settings,
    verb: &str,
    database: Option<&str>,
) -> anyhow::Result<Exit> {
    let statement = statement(verb, database);
    let plan = serde_json::json!({"command": "pooler", "statement": statement});
    if session.options.dry_run {
        session.output.result("plan", &plan, || {
            format!("in PgBouncer's console: {statement}")
        });
        return Ok(Exit::OK);
    }
    session.audit.record("pooler", &statement)?;
    let console = console(session, settings).await?;
    let done = match verb {
        "RESUME" => match console.resume(database).await? {
            true => "done",
            false => "nothing was held back",
        },
        _ => console.run(&statement).await.map(|_| "done")?,
    };
    session
        .output
        .result("applied", &plan, || format!("{statement}: {done}"));
    Ok(Exit::OK)
}

/// A pause that ends with its owner.
struct Pause<'a> {
    database: Option<&'a str>,
    within: Duration,
    duration: Option<Duration>,
}

impl Pause<'_> {
    async fn run(&self, session: &Session, settings: &Settings) -> anyhow::Result<Exit> {
        let pause = statement("PAUSE", self.database);
        if session.options.dry_run {
            let plan = serde_json::json!({"command": "pooler", "statement": pause});
            session.output.result("plan", &plan, || {
                format!("in PgBouncer's console: {pause}, and RESUME at the end")
            });
            return Ok(Exit::OK);
        }
        session.audit.record("pooler", &pause)?;
        // A console of its own: the one that waits for PAUSE takes no other command.
        let pausing = console(session, settings).await?;
        let duty = match self.database {
            Some(database) => Duty::Resume(database.to_owned()),
            None => Duty::ResumeAll,
        };
        let duty = session.guard.hold(duty)?;
        let held = self.hold(session, &pausing, &pause).await;
        drop(pausing);
        // However it went.
        let resumed = one(session, settings, "RESUME", self.database).await;
        let exit = held?;
        resumed?;
        duty.done();
        Ok(exit)
    }

    async fn hold(
        &self,
        session: &Session,
        console: &Console,
        pause: &str,
    ) -> anyhow::Result<Exit> {
        tokio::select! {
            paused = console.run_within(pause, self.within) => {
                paused.with_context(|| {
                    Failure::refused(format!("{pause}: transactions are still open after {} s", self.within.as_secs()))
                        .try_next("platform-ops pooler show servers, or --within 1m")
                })?;
            }
            () = session.interrupt.wait() => return Ok(Exit::INTERRUPTED),
        }
        session.output.note("paused; Ctrl-C lets clients go on");
        let end = async {
            match self.duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = end => {}
            () = session.interrupt.wait() => {}
        }
        Ok(Exit::OK)
    }
}
