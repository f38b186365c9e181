//! One measured figure: its samples, median and spread.

use serde::Serialize;

/// A figure with its samples.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What it is: `experiment/shape/files/quantity`.
    pub name: String,
    /// What it counts.
    pub unit: &'static str,
    /// The middle one of the samples.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
    /// In the order in which they were taken.
    pub samples: Vec<f64>,
}

impl Figure {
    /// From at least one sample.
    pub fn new(name: impl Into<String>, unit: &'static str, samples: Vec<f64>) -> Self {
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        let median = (at(last / 2) + at(last.div_ceil(2))) / 2.0;
        Self {
            name: name.into(),
            unit,
            median,
            low: at(0),
            high: at(last),
            samples,
        }
    }

    /// The ratio of two figures, round by round: what disturbed one round disturbed both.
    pub fn ratio(name: impl Into<String>, of: &Self, to: &Self) -> Self {
        let ratios = of
            .samples
            .iter()
            .zip(&to.samples)
            .map(|(of, to)| of / to)
            .collect();
        Self::new(name, "×", ratios)
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = match self.median.abs() {
            median if median >= 100.0 => 0,
            median if median >= 10.0 => 1,
            _ => 3,
        };
        write!(
            f,
            "{:<46} {:>12.digits$} {:<20} {:.digits$} … {:.digits$} ({})",
            self.name,
            self.median,
            self.unit,
            self.low,
            self.high,
            self.samples.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_few() {
        let median = |samples: &[f64]| Figure::new("", "", samples.to_vec()).median;
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        let (of, to) = (
            Figure::new("a", "", vec![4.0, 9.0]),
            Figure::new("b", "", vec![2.0, 3.0]),
        );
        assert_eq!(Figure::ratio("c", &of, &to).samples, [2.0, 3.0]);
    }
}
