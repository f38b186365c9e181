//! platform-ops: the operator's command line of the database platform.

use std::process::ExitCode;

use clap::Parser;
use platform_ops::cli::Cli;
use platform_ops::exit::Exit;
use platform_ops::failure;
use platform_ops::output::{Output, Tone};
use platform_ops::session::Session;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.global.json, cli.global.color);
    // A dump would hold every secret that was read.
    if let Err(error) = oci::forbid_core_dumps() {
        let error = anyhow::Error::new(error).context("core dumps cannot be switched off");
        return fail(output, &error, |text| text.to_owned()).into();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(output, &anyhow::Error::new(error), |text| text.to_owned()).into();
        }
    };
    let exit = runtime.block_on(async {
        let session = match Session::begin(cli.global) {
            Ok(session) => session,
            Err(error) => return fail(output, &error, |text| text.to_owned()),
        };
        match platform_ops::command::run(&session, cli.command).await {
            Ok(exit) => exit,
            Err(error) => fail(output, &error, |text| session.redactor.clean(text)),
        }
    });
    // Threads that still read a stream or a terminal must not hold up the end.
    runtime.shutdown_background();
    exit.into()
}

/// Says what failed, why, and what to try.
fn fail(output: Output, error: &anyhow::Error, clean: impl Fn(&str) -> String) -> Exit {
    let exit = failure::exit(error);
    let hint = failure::of(error).and_then(|failure| failure.hint());
    let mut causes: Vec<String> = error
        .chain()
        .map(|cause| clean(&cause.to_string()))
        .collect();
    causes.dedup();
    if output.is_json() {
        let body = serde_json::json!({
            "error": causes.first(),
            "causes": causes.get(1..),
            "try": hint,
            "exit": exit.code(),
        });
        output.json_line("error", &body);
    }
    let label = output.paint_err(Tone::Bad, "error:");
    let mut causes = causes.into_iter();
    output.note(&format!("{label} {}", causes.next().unwrap_or_default()));
    for cause in causes {
        output.note(&format!("  cause: {cause}"));
    }
    if let Some(hint) = hint {
        output.note(&format!("  try: {hint}"));
    }
    exit
}
