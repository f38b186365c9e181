//! `backup prune`.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::backup::config::Config;
use crate::backup::listing::Listing;
use crate::backup::outcome;
use crate::backup::policy::Verdict;
use crate::backup::prune;
use crate::command::backup::setting::open_store;
use crate::exit::Exit;
use crate::session::Session;

/// Arguments of `backup prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Only sets that a drill has proven fill the rules of [retention] in config/backup.toml; nothing goes
while fewer than `floor` are proven, after the cluster changed, or after it became much smaller.")]
pub struct Arguments {
    /// A folder, instead of the configured place
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Remove them; without it they are only shown
    #[arg(long)]
    apply: bool,
}

/// Shows, or removes, what no rule keeps.
///
/// # Errors
/// When the store cannot be read, or the credential may not delete.
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let lock = match arguments.apply {
        true => session.lock("backup prune")?,
        false => None,
    };
    let config = Config::load(&session.root)?;
    let store = open_store(session, &config, arguments.from.as_deref()).await?;
    let listing = Listing::read(&store).await?;
    let (decision, plan) =
        prune::plan(&store, &listing, config.retention, Timestamp::now()).await?;
    if !session.options.json {
        for (set, verdict) in &decision.verdicts {
            if let Verdict::Keep(reasons) = verdict {
                session
                    .output
                    .text(&format!("  = {set}: {}", reasons.join(", ")));
            }
        }
    }
    if arguments.apply {
        let exit = plan.carry_out(session).await;
        if arguments.from.is_none() && !session.options.dry_run {
            outcome::observe(session, &store).await;
            let journal = outcome::update(session, |_| {});
            outcome::publish(session, &config, &journal);
        }
        drop(lock);
        return exit;
    }
    session.output.result("plan", &plan, || plan.text(session));
    Ok(Exit::OK)
}
