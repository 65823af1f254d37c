//! Runs the engine under callgrind and reads what it counted.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

/// Virtual time of a run. The feedback of 100 ms and reports of 1 s fall evenly into it.
const DURATION: &str = "2s";
/// Functions of `engine::world` that callgrind counts in, and nowhere else.
const MEDIA: &str = "World::gate_media";
const FEEDBACK: &str = "World::gate_feedback";
const TIMERS: &str = "World::gate_timers";

/// Per forwarded packet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    /// Instructions.
    pub media: f64,
    pub feedback: f64,
    pub timers: f64,
    pub allocations: f64,
}

/// What of the JSON of `sfu-bench engine` is read.
#[derive(Deserialize)]
struct Report {
    packets: u64,
    allocations_per_packet: f64,
}

pub fn is_there() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// One call, with these arguments of `sfu-bench engine`.
pub fn count(arguments: &[&str]) -> Result<Counted> {
    let file = std::env::temp_dir().join(format!("sfu-bench-callgrind-{}", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--compress-strings=no", "--compress-pos=no"])
        .args([MEDIA, FEEDBACK, TIMERS].map(|name| format!("--toggle-collect=*{name}*")))
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe()?)
        .args(["engine", "--runs", "1", "--duration", DURATION, "--no-clock"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("cannot start valgrind")?;
    let counts = std::fs::read_to_string(&file);
    let _ = std::fs::remove_file(&file);
    if !output.status.success() {
        bail!("under valgrind: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let stdout = String::from_utf8(output.stdout)?;
    let report: Report = serde_json::from_str(stdout.lines().last().unwrap_or_default()).context("its last line")?;
    let inclusive = inclusive(&counts.context("callgrind wrote nothing")?);
    let packets = report.packets as f64;
    let per_packet = |name: &str| inclusive.get(name).copied().unwrap_or(0) as f64 / packets;
    let counted = Counted {
        media: per_packet(MEDIA),
        feedback: per_packet(FEEDBACK),
        timers: per_packet(TIMERS),
        allocations: report.allocations_per_packet,
    };
    // A renamed function would let everything pass.
    ensure!(counted.media > 0.0 && counted.feedback > 0.0, "callgrind does not know {MEDIA} and {FEEDBACK}");
    Ok(counted)
}

/// Instructions in each of our three functions, with all that they call (the format is callgrind's, version 1: cost lines
/// of a function follow its `fn=`, and the line after `calls=` is what the call cost).
fn inclusive(file: &str) -> BTreeMap<&'static str, u64> {
    let mut sums = BTreeMap::new();
    let mut current = None;
    for line in file.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            current = [MEDIA, FEEDBACK, TIMERS].into_iter().find(|ours| name.contains(ours));
        } else if let Some(name) = current
            && line.starts_with(|c: char| c.is_ascii_digit())
            && let Some(cost) = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok())
        {
            *sums.entry(name).or_default() += cost;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_costs_and_those_of_calls_are_summed() {
        let file = "events: Ir\nfn=sfu_bench::engine::world::World::gate_media\n10 5\ncfn=other\ncalls=3 20\n11 700\n\n\
                    fn=other\n20 700\n\nfn=sfu_bench::engine::world::World::gate_media'2\n12 1\nfn=World::gate_feedback\n3 9\n";
        assert_eq!(inclusive(file), BTreeMap::from([(MEDIA, 706), (FEEDBACK, 9)]));
    }
}
