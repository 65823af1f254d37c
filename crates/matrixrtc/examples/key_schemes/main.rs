//! What a join and a leave cost under different key schemes, by size of call. The per-sender schemes are the crate's own machines,
//! one per member, driven in virtual time; the others are counted. It always prints the same.
//!
//! ```text
//! cargo run -p matrixrtc --example key_schemes
//! ```
//!
//! `docs/key-schemes.md` holds the output, and the assumptions.

mod counted;
mod per_sender;

use std::time::Duration;

use matrixrtc::keys::{Leaves, Policy, SenderConfig};

/// Members: after a join, before a leave.
const SIZES: [usize; 7] = [2, 5, 10, 25, 50, 100, 500];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Join,
    Leave,
}

/// Of one join or leave, all members together.
#[derive(Debug, Clone, Default)]
struct Cost {
    /// That clients send, one for each device that it is encrypted for.
    messages: u64,
    bytes: u64,
    /// Encryptions for one receiver each: Olm, or HPKE.
    sealed: u64,
    /// Most messages within one second.
    busiest: u64,
    /// Until everybody who is there opens everything.
    open: Duration,
    /// For how long one who left could go on opening. `None`: for ever.
    leaver: Option<Duration>,
}

type Scheme = (&'static str, fn(Event, usize) -> Cost);

const SCHEMES: [Scheme; 8] = [
    ("one key, kept", counted::one_key_kept),
    ("one key, renewed by one member", counted::one_key_renewed),
    ("shared secret, salts", counted::salts),
    ("per sender, fixed grace", |event, size| per_sender::cost(&SenderConfig::new(Policy::FIXED), event, size)),
    ("per sender, fixed grace, ratchet on join", |event, size| {
        per_sender::cost(&SenderConfig { ratchet: true, ..SenderConfig::new(Policy::FIXED) }, event, size)
    }),
    ("per sender, scaled", |event, size| per_sender::cost(&SenderConfig::new(Policy::SCALED), event, size)),
    ("per sender, scaled, leaves wait", |event, size| {
        let policy = Policy::Scaled { per_minute: 6000, leaves: Leaves::Window };
        per_sender::cost(&SenderConfig::new(policy), event, size)
    }),
    ("MLS", counted::mls),
];

fn main() {
    print!("{}", tables(&SIZES));
}

/// For calls of these sizes.
fn tables(sizes: &[usize]) -> String {
    let mut out = String::new();
    for (event, title) in [(Event::Join, "One member joins"), (Event::Leave, "One member leaves")] {
        let costs: Vec<(&str, Vec<Cost>)> = SCHEMES
            .iter()
            .map(|(name, scheme)| (*name, sizes.iter().map(|size| scheme(event, *size)).collect()))
            .collect();
        let mut table = |what: &str, cell: &dyn Fn(&Cost) -> String| {
            let head: String = sizes.iter().map(|size| format!(" {size} |")).collect();
            out += &format!("### {title}: {what}\n\n| members |{head}\n|---|{}\n", "--:|".repeat(sizes.len()));
            for (name, costs) in &costs {
                let cells: String = costs.iter().map(|cost| format!(" {} |", cell(cost))).collect();
                out += &format!("| {name} |{cells}\n");
            }
            out += "\n";
        };
        table("messages that clients send", &|cost| grouped(cost.messages));
        table("kB that clients send", &|cost| kilobytes(cost.bytes));
        table("encryptions for one receiver each (Olm, HPKE)", &|cost| grouped(cost.sealed));
        table("most messages in one second", &|cost| grouped(cost.busiest));
        match event {
            Event::Join => table("seconds until all open everything", &|cost| seconds(cost.open)),
            Event::Leave => {
                table("seconds that it can listen on", &|cost| cost.leaver.map_or("for ever".to_owned(), seconds))
            }
        }
    }
    out
}

/// `12 345`, with a thin space.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202F}');
        }
        out.push(digit);
    }
    out
}

fn kilobytes(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        1..10_000 => format!("{:.1}", bytes as f64 / 1000.0),
        _ => grouped(bytes.div_ceil(1000)),
    }
}

fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(10) {
        format!("{:.2}", duration.as_secs_f64())
    } else {
        grouped(duration.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document says what this prints. Calls of up to 50 are enough to see it change.
    #[test]
    fn the_document_is_up_to_date() {
        let document = include_str!("../../../../docs/key-schemes.md");
        for line in tables(&SIZES[..5]).lines().filter(|line| line.starts_with("| ") || line.starts_with('#')) {
            assert!(document.contains(line), "docs/key-schemes.md lacks: {line}");
        }
    }
}
