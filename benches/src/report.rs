//! A run's results, as JSON and as a plot.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::figure::Figure;
use crate::gate::Verdict;
use crate::machine::Machine;
use crate::plot;

/// All of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where and what.
    pub machine: Machine,
    /// `short` or `full`.
    pub form: &'static str,
    /// Versions of the programs that were compared.
    pub peers: Vec<(&'static str, String)>,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// What the gates say.
    pub gates: Vec<Verdict>,
}

impl Report {
    /// Writes `FORM.json` and `FORM.svg` into `dir`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        fs::write(dir.join(format!("{}.json", self.form)), json)?;
        fs::write(dir.join(format!("{}.svg", self.form)), plot::svg(self))
    }

    /// Whether all gates held.
    pub fn held(&self) -> bool {
        self.gates.iter().all(|verdict| verdict.held)
    }
}
