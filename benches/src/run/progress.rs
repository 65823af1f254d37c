//! What a person at the terminal sees while it runs, and at its end.

use std::io::{IsTerminal as _, Write as _};

use super::report::{Latency, Second, Spread, Summary};

/// Seconds from line to line where there is no terminal to rewrite one on.
const QUIET_EVERY: u64 = 5;

/// See the module.
pub struct Progress {
    people: usize,
    terminal: bool,
    shown: u64,
}

impl Progress {
    pub fn new(people: usize) -> Self {
        Self { people, terminal: std::io::stderr().is_terminal(), shown: 0 }
    }

    pub fn show(&mut self, what: &str, second: &Second) {
        self.shown += 1;
        let text = line(what, self.people, second);
        if self.terminal {
            // Rewrites the line, and clears what is left of the one before.
            eprint!("\r{text}\x1b[K");
            let _ = std::io::stderr().flush();
        } else if self.shown % QUIET_EVERY == 1 {
            eprintln!("{text}");
        }
    }

    pub fn done(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}

fn line(what: &str, people: usize, second: &Second) -> String {
    let mut text = format!(
        "{:>4.0} s {what}: {}/{people} connected, up {}, down {}",
        second.at_s,
        second.connected,
        bits(second.send_bps),
        bits(second.receive_bps)
    );
    let mut also = |part: String| text = format!("{text}, {part}");
    if second.failed > 0 {
        also(format!("{} failed", second.failed));
    }
    if let Some(p99) = second.latency_p99_us {
        also(format!("p99 {}", micros(Some(p99))));
    }
    if let Some(cpu) = second.server_cpu {
        also(format!("server {:.0} %", cpu * 100.0));
    }
    text
}

/// The figures, for people.
pub fn describe(summary: &Summary) {
    let spread = |spread: Spread| match spread {
        Spread { p50: Some(p50), p99: Some(p99), max: Some(max) } => {
            format!("p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms")
        }
        _ => "–".to_owned(),
    };
    let Latency { p50_us, p99_us, p999_us, max_us } = summary.latency;
    let people = summary.rooms * summary.participants;
    eprintln!("joined      {} of {people}, {} failed", summary.joined, summary.failed);
    eprintln!("connected   {}", spread(summary.connect_ms));
    eprintln!("first media {}", spread(summary.first_media_ms));
    eprintln!("bitrate     up {}, down {}", bits(summary.send_bps), bits(summary.receive_bps));
    eprintln!(
        "latency     p50 {}, p99 {}, p99.9 {}, max {}",
        micros(p50_us),
        micros(p99_us),
        micros(p999_us),
        micros(max_us)
    );
    eprintln!("loss        {:.4} %", summary.loss * 100.0);
    eprintln!("freezes     {} ({:.0} ms)", summary.freezes, summary.frozen_ms);
    eprintln!("key frames  {} requests, {} by viewers", summary.keyframe_requests, summary.keyframe_requests_sent);
    if let Some(matrix) = &summary.matrix {
        eprintln!("first frame {} from the member event", spread(matrix.first_frame_ms));
        eprintln!("members     {} to the other homeservers", spread(matrix.member_event_across_ms));
        let [sent, failed, received] = [matrix.keys_sent, matrix.keys_failed, matrix.keys_received];
        eprintln!("keys        {sent} sent, {failed} failed, {received} received");
        let closed = summary.frames_without_key + summary.frames_unopened;
        eprintln!("frames      {} opened, {closed} not", summary.frames_opened);
    }
    if let Some(cpu) = summary.server_cpu {
        let bytes = summary.server_bytes_max.unwrap_or_default();
        eprintln!("server      {:.1} % of a core, {:.1} MiB", cpu * 100.0, bytes as f64 / 1_048_576.0);
    }
    summary.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
}

pub fn bits(bits_per_second: f64) -> String {
    match bits_per_second {
        bits if bits >= 1e9 => format!("{} Gbit/s", short(bits / 1e9)),
        bits if bits >= 1e6 => format!("{} Mbit/s", short(bits / 1e6)),
        bits => format!("{:.0} kbit/s", bits / 1e3),
    }
}

pub fn micros(micros: Option<f64>) -> String {
    match micros {
        None => "–".to_owned(),
        Some(micros) if micros >= 1e6 => format!("{} s", short(micros / 1e6)),
        Some(micros) if micros >= 1000.0 => format!("{} ms", short(micros / 1000.0)),
        Some(micros) => format!("{micros:.0} µs"),
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    let digits = match value {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    if digits == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!([bits(32_000.0), bits(1.25e6), bits(2e9)], ["32 kbit/s", "1.25 Mbit/s", "2 Gbit/s"]);
        assert_eq!([micros(Some(87.4)), micros(Some(1234.0)), micros(None)], ["87 µs", "1.23 ms", "–"]);
        assert_eq!([short(407.2), short(40.72), short(10.0), short(0.5)], ["407", "40.7", "10", "0.5"]);
    }

    #[test]
    fn a_line_says_what_there_is() {
        let second = Second { at_s: 3.2, connected: 2, send_bps: 1e6, receive_bps: 2e6, ..Second::default() };
        assert_eq!(line("joining", 4, &second), "   3 s joining: 2/4 connected, up 1 Mbit/s, down 2 Mbit/s");
        let second = Second { failed: 1, latency_p99_us: Some(900.0), server_cpu: Some(0.25), ..second };
        assert!(line("joining", 4, &second).ends_with(", 1 failed, p99 900 µs, server 25 %"));
    }
}
