//! What is said, and where: results on stdout, everything else on stderr.
//!
//! With `--json` stdout carries one JSON object a line, each with `schema` and `kind`; text for
//! people may change, the JSON only grows.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// The version of everything that `--json` prints.
pub const SCHEMA: &str = "platform-ops/1";

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Colours that carry meaning; the words beside them carry it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Look at it.
    Warn,
    /// Act.
    Bad,
    /// Of less interest.
    Dim,
    /// A heading.
    Bold,
}

/// Where and how to print.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    color_out: bool,
    color_err: bool,
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    schema: &'static str,
    kind: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

impl Output {
    /// Decides once about colours.
    pub fn new(json: bool, color: ColorChoice) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let decide = |terminal: bool| match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto if set("NO_COLOR") => false,
            ColorChoice::Auto => terminal || set("CLICOLOR_FORCE"),
        };
        Self {
            json,
            color_out: decide(std::io::stdout().is_terminal()),
            color_err: decide(std::io::stderr().is_terminal()),
        }
    }

    /// Whether machines read stdout.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Whether stdout is coloured.
    pub fn has_color(self) -> bool {
        self.color_out
    }

    /// A result: as JSON for machines, else as the text that `human` makes.
    pub fn result<T: Serialize>(self, kind: &str, body: &T, human: impl FnOnce() -> String) {
        if self.json {
            self.json_line(kind, body);
        } else {
            self.text(&human());
        }
    }

    /// One JSON line on stdout.
    pub fn json_line<T: Serialize>(self, kind: &str, body: &T) {
        let schema = SCHEMA;
        // Every body is a struct or a map of this program: it serialises.
        if let Ok(line) = serde_json::to_string(&Envelope { schema, kind, body }) {
            self.text(&line);
        }
    }

    /// Text on stdout.
    pub fn text(self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        // A reader that went away (`| head`) is no fault.
        let _ = stdout.write_all(text.as_bytes());
        if !text.ends_with('\n') {
            let _ = stdout.write_all(b"\n");
        }
        let _ = stdout.flush();
    }

    /// A line on stderr for people; machines get results only.
    pub fn note(self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// A text in a tone, for stdout.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        paint(self.color_out, tone, text)
    }

    /// A text in a tone, for stderr.
    pub fn paint_err(self, tone: Tone, text: &str) -> String {
        paint(self.color_err, tone, text)
    }

    /// A spinner on stderr while something is awaited; a terminal sees it, nothing else does.
    pub fn spinner(self, message: &str) -> ProgressBar {
        let bar = ProgressBar::no_length();
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.set_message(message.to_owned());
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        bar
    }
}

fn paint(color: bool, tone: Tone, text: &str) -> String {
    if !color {
        return text.to_owned();
    }
    let code = match tone {
        Tone::Good => "32",
        Tone::Warn => "33",
        Tone::Bad => "1;31",
        Tone::Dim => "2",
        Tone::Bold => "1",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}
