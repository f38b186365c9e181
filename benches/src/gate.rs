//! The figures that must not get worse: ratios and memory, kept in `benches/gates.json`, each with
//! the margin that noise may take. Never times: those are another machine's.

use serde::{Deserialize, Serialize};

use crate::figure::Figure;

const GATES: &str = include_str!("../gates.json");

/// One figure's gate.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The figure's name.
    pub figure: String,
    /// It was this when the gate was set, and must not fall by more than the margin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// It was this when the gate was set, and must not rise by more than the margin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// The part of the kept figure that noise may take.
    pub margin: f64,
}

/// What a gate says of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The gate.
    #[serde(flatten)]
    pub gate: Gate,
    /// The figure's median in this run.
    pub median: f64,
    /// It is within the margin.
    pub held: bool,
}

/// The kept gates.
///
/// # Errors
/// When the file is not what it should be.
pub fn kept() -> serde_json::Result<Vec<Gate>> {
    serde_json::from_str(GATES)
}

/// Judges those gates whose figures were measured.
pub fn judge(gates: &[Gate], figures: &[Figure]) -> Vec<Verdict> {
    let verdict = |gate: &Gate| {
        let figure = figures.iter().find(|figure| figure.name == gate.figure)?;
        let low = gate
            .at_least
            .is_none_or(|kept| figure.median >= kept * (1.0 - gate.margin));
        let high = gate
            .at_most
            .is_none_or(|kept| figure.median <= kept * (1.0 + gate.margin));
        Some(Verdict {
            gate: gate.clone(),
            median: figure.median,
            held: low && high,
        })
    };
    gates.iter().filter_map(verdict).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn held(at_least: Option<f64>, at_most: Option<f64>, median: f64) -> bool {
        let gate = Gate {
            figure: "f".to_owned(),
            at_least,
            at_most,
            margin: 0.1,
        };
        judge(&[gate], &[Figure::new("f", "", vec![median])])[0].held
    }

    #[test]
    fn a_gate_gives_way_to_its_margin_and_no_further() {
        assert!(held(Some(1.0), None, 0.9));
        assert!(!held(Some(1.0), None, 0.89));
        assert!(held(None, Some(1.0), 1.1));
        assert!(!held(None, Some(1.0), 1.11));
    }

    #[test]
    fn the_kept_gates_can_be_read() {
        for gate in kept().unwrap() {
            assert!(
                gate.at_least.is_some() != gate.at_most.is_some(),
                "{}",
                gate.figure
            );
            assert!((0.0..0.5).contains(&gate.margin));
        }
    }
}
