//! The faults that a shipper of Docker logs must survive, one test each, named by their number in
//! agent/tests/faults.toml. The core is driven by hand; the rest of the faults need the real shell
//! (agent/tests) or lines only (the core's own tests).

#![allow(clippy::unwrap_used)]

#[path = "../fixtures/arrival.rs"]
mod arrival;
mod compression;
mod content;
mod delivery;
mod fairness;
mod identity;
mod ledger;
mod life;
mod limit;
mod outage;
mod quiet;
mod rotation;
#[path = "../fixtures/shell.rs"]
mod shell;
mod spool;
#[path = "../fixtures/writer.rs"]
mod writer;

use shell::Shell;

/// The time of line `n`: later lines have later times.
fn time(n: usize) -> String {
    let (minute, second) = (n / 60_000 % 60, n / 1_000 % 60);
    format!(
        "2026-11-23T17:{minute:02}:{second:02}.{:03}000001Z",
        n % 1_000
    )
}

/// The text of line `n`, `len` bytes.
fn text(n: usize, len: usize) -> String {
    let mark = format!("{n:06} ");
    mark.repeat(len / mark.len() + 1)[..len.max(6)].to_owned()
}

/// What dockerd writes for line `n`, as pieces.
fn pieces(n: usize, len: usize) -> Vec<Vec<u8>> {
    writer::pieces(text(n, len).as_bytes(), true, "stdout", &time(n))
}

/// Lines `from..to` of `len` bytes, appended to a container's log.
fn print(shell: &mut Shell, container: usize, numbers: std::ops::Range<usize>, len: usize) {
    for n in numbers {
        shell.append(container, &pieces(n, len).concat());
    }
}

/// Exactly these lines have arrived, in this order, none under two ids.
fn assert_lines(shell: &Shell, container: usize, numbers: std::ops::Range<usize>, len: usize) {
    let want: Vec<String> = numbers.map(|n| text(n, len)).collect();
    let arrived = shell.lines(container);
    let differs = arrived.iter().zip(&want).position(|(a, b)| a != b);
    let at = differs.unwrap_or(arrived.len().min(want.len()));
    let line = |lines: &[String]| lines.get(at).map(|line| line.chars().take(6).collect());
    let (is, should): (Option<String>, Option<String>) = (line(&arrived), line(&want));
    let (here, all) = (arrived.len(), want.len());
    assert!(
        arrived == want,
        "{here} lines of {all}, line {at} is {is:?}, not {should:?}"
    );
}

/// A log of so many lines that is read, accepted and saved.
fn running(lines: usize) -> Shell {
    let mut shell = Shell::new(1);
    print(&mut shell, 0, 0..lines, 20);
    shell.start();
    shell.settle();
    shell
}
