//! How far it is: bars for a terminal, JSON lines for machines, silence otherwise.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::output::Output;

/// Between two JSON lines.
const PACE: Duration = Duration::from_secs(1);

/// Counts the bytes of one stage.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    lines: Option<Output>,
    stage: String,
    total: u64,
    done: AtomicU64,
    began: Instant,
    said: AtomicU64,
}

#[derive(Serialize)]
struct Line<'a> {
    stage: &'a str,
    bytes: u64,
    bytes_total: u64,
    seconds: f64,
}

impl Progress {
    /// Begins a stage; `total` bytes are a guess, 0 for none. JSON lines come only if `lines`.
    pub fn begin(output: Output, stage: &str, total: u64, lines: bool) -> Self {
        let bar = ProgressBar::new(total);
        if !std::io::stderr().is_terminal() || output.is_json() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let template = if total > 0 {
            "  {msg:<28} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta}"
        } else {
            "  {msg:<28} {spinner} {bytes} {bytes_per_sec}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(stage.to_owned());
        Self {
            bar,
            lines: (lines && output.is_json()).then_some(output),
            stage: stage.to_owned(),
            total,
            done: AtomicU64::new(0),
            began: Instant::now(),
            said: AtomicU64::new(0),
        }
    }

    /// Nobody watches.
    pub fn silent() -> Self {
        Self::begin(
            Output::new(false, crate::output::ColorChoice::Never),
            "",
            0,
            false,
        )
        .hidden()
    }

    fn hidden(self) -> Self {
        self.bar.set_draw_target(ProgressDrawTarget::hidden());
        self
    }

    /// So many more.
    pub fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bar.set_position(done);
        let Some(output) = self.lines else {
            return;
        };
        let tick = self.began.elapsed().as_secs() / PACE.as_secs() + 1;
        if self.said.fetch_max(tick, Ordering::Relaxed) < tick {
            let line = Line {
                stage: &self.stage,
                bytes: done,
                bytes_total: self.total,
                seconds: self.began.elapsed().as_secs_f64(),
            };
            output.json_line("progress", &line);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
