//! `backup verify`.

use std::path::PathBuf;

use crate::backup::config::Config;
use crate::backup::listing::Listing;
use crate::backup::progress::Progress;
use crate::backup::verify;
use crate::command::backup::setting::{identities, open_store};
use crate::exit::Exit;
use crate::session::Session;

/// Arguments of `backup verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --identity the stored bytes are compared; with it what is inside of them as well.")]
pub struct Arguments {
    /// The set, or `latest`
    #[arg(default_value = "latest")]
    set: String,
    /// A folder, instead of the configured place
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// The age key that opens the set
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

/// Compares every byte of a set.
///
/// # Errors
/// When it cannot be read; damage ends with [`Exit::VERIFICATION_FAILED`].
pub async fn run(session: &Session, arguments: &Arguments) -> anyhow::Result<Exit> {
    let config = Config::load(&session.root)?;
    let store = open_store(session, &config, arguments.from.as_deref()).await?;
    let listing = Listing::read(&store).await?;
    let set = listing.choose(&arguments.set)?;
    let identities = identities(arguments.identity.as_deref())?;
    let bytes = set.manifest.bytes();
    let progress = Progress::begin(session.output, "verify", bytes, session.options.json);
    let report = verify::verify(&store, set, &identities, &progress, &session.interrupt).await?;
    drop(progress);
    session.output.result("verify", &report, || {
        let mut text = String::new();
        for fault in &report.faults {
            text += &format!("  WRONG  {fault}\n");
        }
        for name in &report.unknown {
            text += &format!("  ?      {name} is not in the manifest\n");
        }
        let inside = if report.opened {
            ", inside and out"
        } else {
            ", stored bytes only"
        };
        text + &format!(
            "set {}: {} objects, {} compared{inside}; {} wrong",
            report.set,
            report.objects,
            bytesize::ByteSize(report.bytes),
            report.faults.len()
        )
    });
    Ok(match report.faults.is_empty() {
        true => Exit::OK,
        false => Exit::VERIFICATION_FAILED,
    })
}
