//! `sfu-bench gate`: instructions and allocations per forwarded packet, against the rows that are committed in
//! `benches/scoreboard.md`. Both come out the same on a busy machine, so CI can hold them.
//!
//! Each call is carried by the engine in a process of its own under callgrind, in virtual time, without sockets.
//! `instructions_per_packet` counts what lies between the receipt of RTP and its sends; `instructions_with_timers` adds
//! feedback and whatever the clock causes. Valgrind hides VAES and AVX-512 from the program, so aws-lc takes its AES-NI
//! code: more instructions than in production, but always the same ones.

mod callgrind;
mod rows;

use anyhow::{Context as _, Result, bail, ensure};

use self::callgrind::Counted;
use self::rows::Scoreboard;
use crate::cli::GateArgs;

/// Above the committed number by so much: no longer the same. Hash seeds and keys differ from run to run, by under 0.3 %.
const MARGIN: f64 = 0.03;

/// As long as there are allocations, their number follows the order of hash maps a little. Of none this leaves none.
const ALLOCATIONS_MARGIN: f64 = 0.01;

/// A call that is held: its row, and the arguments of `sfu-bench engine`.
const CALLS: [(&str, &[&str]); 3] = [
    ("gate1x50", &["--subscribers", "50", "--publishers", "1"]),
    ("gate10x10", &["--subscribers", "10", "--publishers", "10"]),
    ("gateaudio50", &["--subscribers", "50", "--publishers", "1", "--audio"]),
];

pub fn run(args: &GateArgs) -> Result<()> {
    let path = &args.scoreboard;
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut board = Scoreboard::new(text);
    if !callgrind::is_there() {
        // Somebody without it can still work; CI cannot pass without the check.
        ensure!(std::env::var_os("CI").is_none(), "valgrind is not installed: `apt-get install valgrind`");
        eprintln!("gate: SKIPPED, valgrind is not installed: `apt-get install valgrind`");
        return Ok(());
    }
    let mut complaints = Vec::new();
    for (row, arguments) in CALLS {
        let counted = callgrind::count(arguments).with_context(|| format!("{row}: sfu-bench engine {arguments:?}"))?;
        for (figure, now) in figures(&counted) {
            if args.update {
                board.set(row, figure, &now.text())?;
                eprintln!("{row:12} {figure:26} {:>9}", now.text());
                continue;
            }
            let committed = board.get(row, figure)?;
            let verdict = now.verdict(committed);
            eprintln!("{row:12} {figure:26} {:>9}  committed {committed:>9}  {verdict:?}", now.text());
            if verdict == Verdict::Worse {
                complaints.push(format!("{row} {figure}: {} instead of {committed}", now.text()));
            }
        }
    }
    if args.update {
        return std::fs::write(path, board.text()).with_context(|| format!("cannot write {}", path.display()));
    }
    if complaints.is_empty() {
        return Ok(());
    }
    bail!(
        "a forwarded packet costs more than {} says:\n  {}\nIf that is intended, `make gate-update`, and say why in the \
         commit. If not: `sfu-bench engine`, `callgrind_annotate` and docs/performance.md.",
        path.display(),
        complaints.join("\n  ")
    )
}

fn figures(counted: &Counted) -> [(&'static str, Figure); 3] {
    [
        ("instructions_per_packet", Figure::Instructions(counted.media)),
        ("instructions_with_timers", Figure::Instructions(counted.media + counted.feedback + counted.timers)),
        ("allocations_per_packet", Figure::Allocations(counted.allocations)),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Better,
    Same,
    Worse,
}

/// A figure per forwarded packet.
#[derive(Debug, Clone, Copy)]
enum Figure {
    Instructions(f64),
    Allocations(f64),
}

impl Figure {
    /// As it stands in the file.
    fn text(self) -> String {
        match self {
            Self::Instructions(number) => format!("{number:.0}"),
            Self::Allocations(number) => format!("{number:.4}"),
        }
    }

    fn verdict(self, committed: f64) -> Verdict {
        let (now, margin) = match self {
            Self::Instructions(number) => (number, committed * MARGIN),
            Self::Allocations(number) => (number, committed * ALLOCATIONS_MARGIN),
        };
        match now - committed {
            more if more > margin => Verdict::Worse,
            less if less < -margin => Verdict::Better,
            _ => Verdict::Same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_per_cent_of_instructions_and_no_allocation() {
        assert_eq!(Figure::Instructions(1029.0).verdict(1000.0), Verdict::Same);
        assert_eq!(Figure::Instructions(1031.0).verdict(1000.0), Verdict::Worse);
        assert_eq!(Figure::Instructions(900.0).verdict(1000.0), Verdict::Better);
        assert_eq!(Figure::Allocations(0.0).verdict(0.0), Verdict::Same);
        assert_eq!(Figure::Allocations(0.0001).verdict(0.0), Verdict::Worse);
        assert_eq!(Figure::Allocations(2.01).verdict(2.0), Verdict::Same);
        assert_eq!(Figure::Allocations(1.9).verdict(2.0), Verdict::Better);
    }

    /// A row that is missing is an error of the file, not a pass.
    #[test]
    fn all_rows_are_committed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/scoreboard.md");
        let board = Scoreboard::new(std::fs::read_to_string(path).expect("scoreboard"));
        for (row, _) in CALLS {
            for (figure, _) in figures(&Counted::default()) {
                board.get(row, figure).expect("a row");
            }
        }
    }
}
