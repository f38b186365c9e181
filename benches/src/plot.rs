//! The plot: log bytes per CPU second of each program, one group of bars a shape.

use std::fmt::Write as _;

use crate::figure::Figure;
use crate::report::Report;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 210.0;
const BAR: f64 = 16.0;
const TOP: f64 = 64.0;
const UNIT: &str = "MB per CPU second";

/// Draws every figure in MB per CPU second, with a line from its lowest to its highest sample.
pub fn svg(report: &Report) -> String {
    let figures: Vec<&Figure> = report
        .figures
        .iter()
        .filter(|figure| figure.unit == UNIT)
        .collect();
    let most = figures.iter().map(|figure| figure.high).fold(1.0, f64::max);
    let scale = (WIDTH - LEFT - 90.0) / most;
    let mut bars = String::new();
    let mut y = TOP;
    let mut group = "";
    for figure in &figures {
        let (shape, program) = figure.name.rsplit_once('/').unwrap_or(("", &figure.name));
        if shape != group {
            group = shape;
            y += 22.0;
            let _ = writeln!(
                bars,
                r#"<text x="10" y="{:.0}" font-weight="bold">{shape}</text>"#,
                y - 5.0
            );
        }
        let fill = match program {
            "agent" => "#1f77b4",
            "reference" => "#9e9e9e",
            _ => "#d98c3f",
        };
        let middle = y + BAR / 2.0;
        let (low, high) = (LEFT + figure.low * scale, LEFT + figure.high * scale);
        let _ = writeln!(
            bars,
            r#"<text x="{:.0}" y="{:.0}" text-anchor="end">{program}</text><rect x="{LEFT:.0}" y="{y:.0}" width="{:.1}" height="{:.0}" fill="{fill}"/><path d="M{low:.1} {middle:.1}H{high:.1}" stroke="black"/><text x="{:.0}" y="{:.0}">{:.0}</text>"#,
            LEFT - 8.0,
            y + 12.0,
            figure.median * scale,
            BAR - 3.0,
            high + 8.0,
            y + 12.0,
            figure.median,
        );
        y += BAR;
    }
    let machine = &report.machine;
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:.0}" height="{:.0}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<text x="10" y="22" font-size="16">Log file bytes per CPU second, MB (median, lowest to highest)</text>
<text x="10" y="42" fill="dimgray">{}, {} CPUs, {} · {} · {} · {}</text>
{bars}</svg>
"#,
        y + 16.0,
        machine.cpu,
        machine.cpus,
        machine.extensions.join(" "),
        machine.commit,
        machine.date,
        machine.command,
    )
}
