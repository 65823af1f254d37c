use std::collections::BTreeMap;

use super::*;

fn render(snapshot: &Snapshot) -> String {
    let metrics = Metrics::new();
    metrics.joined(Duration::from_millis(120));
    metrics.sockets.opened.increment(1);
    metrics.render(snapshot)
}

fn snapshot() -> Snapshot {
    let mut worker = WorkerStats::default();
    worker.engine.packets_forwarded = 20;
    worker.driver.misrouted_sent = 3;
    worker.driver.data_ignored = 4;
    worker.mailbox = 5;
    let control = ControlStats {
        gauges: focus_control::Gauges { participants: 7, ..Default::default() },
        counters: focus_control::Counters { refused_token: 2, ..Default::default() },
        slow_sockets: 1,
        wills: focus_matrix::delegation::Counters { held: 3, sent_lost: 2, ..Default::default() },
    };
    let matrix = MatrixStats { outcomes: BTreeMap::from([("granted", 6)]), homeservers_up: 2, ..Default::default() };
    Snapshot {
        control,
        matrix,
        workers: vec![worker; 2],
        ring_dropped: [1, 2, 3, 4],
        state_failures: 6,
        state_dropped: 0,
        state_degraded: true,
        questions: (5, vec![("not_global", 2)]),
    }
}

/// Name with labels, and value, of each sample. Panics on a line that is none.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# ") {
            assert!(comment.starts_with("HELP sfu_") || comment.starts_with("TYPE sfu_"), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let name = series.split('{').next().expect("a name");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
        if let Some((_, labels)) = series.split_once('{') {
            for label in labels.strip_suffix('}').expect("closed").split(',') {
                let (key, value) = label.split_once('=').expect("key=value");
                assert!(["reason", "event", "kind", "worker", "version", "le"].contains(&key), "label {key} in {line}");
                assert!(value.len() > 2 && value.starts_with('"') && value.ends_with('"'), "{line}");
            }
        }
        let old = samples.insert(series.to_owned(), value.parse().expect("a number"));
        assert!(old.is_none(), "{series} twice");
    }
    samples
}

#[test]
fn every_line_parses_and_every_metric_is_there() {
    let text = render(&snapshot());
    let samples = parse(&text);
    for metric in ALL {
        assert!(samples.keys().any(|series| series.starts_with(metric.name)), "{} in\n{text}", metric.name);
        assert!(text.contains(&format!("# HELP {} ", metric.name)), "{} has a help text", metric.name);
    }
    assert_eq!(samples.get("sfu_participants"), Some(&7.0));
    assert_eq!(samples.get("sfu_delegated_leaves"), Some(&3.0));
    assert_eq!(samples.get("sfu_delegated_leave_events_total{event=\"sent_lost\"}"), Some(&2.0));
    assert_eq!(samples.get("sfu_matrix_token_requests_total{reason=\"granted\"}"), Some(&6.0));
    assert_eq!(samples.get("sfu_matrix_homeservers{kind=\"up\"}"), Some(&2.0));
    assert_eq!(samples.get("sfu_packets_forwarded_total"), Some(&40.0));
    assert_eq!(samples.get("sfu_refusals_total{reason=\"token\"}"), Some(&2.0));
    assert_eq!(samples.get("sfu_misrouted_datagrams_total{event=\"sent\"}"), Some(&6.0));
    assert_eq!(samples.get("sfu_data_messages_total{event=\"ignored\"}"), Some(&8.0));
    assert_eq!(samples.get("sfu_ring_depth{worker=\"1\"}"), Some(&5.0));
    assert_eq!(samples.get("sfu_ring_dropped_total{kind=\"steering\"}"), Some(&3.0));
    assert_eq!(samples.get("sfu_join_duration_seconds_bucket{le=\"0.2\"}"), Some(&1.0));
    assert_eq!(samples.get("sfu_join_duration_seconds_bucket{le=\"0.1\"}"), Some(&0.0));
    assert_eq!(samples.get("sfu_websockets_opened_total"), Some(&1.0));
}

#[test]
fn every_counter_of_the_engine_has_a_metric() {
    for (name, _) in sfu_core::Counters::default().iter() {
        let told = ENGINE.iter().filter(|(n, ..)| *n == name).count();
        let left_out = ENGINE_LEFT_OUT.contains(&name);
        assert!(told == usize::from(!left_out), "{name} is told {told} times");
    }
    for (name, ..) in ENGINE {
        assert!(sfu_core::Counters::default().iter().any(|(n, _)| n == *name), "the engine counts no {name}");
    }
}

#[test]
fn names_carry_their_unit() {
    for metric in ALL {
        assert!(metric.name.starts_with("sfu_"));
        assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
        assert!(metric.kind != Kind::Histogram || metric.name.ends_with("_seconds"), "{}", metric.name);
    }
}

#[test]
fn the_manual_lists_every_metric() {
    let manual = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating.md"));
    for metric in ALL {
        assert!(manual.contains(&format!("| `{}` |", metric.name)), "{} in docs/operating.md", metric.name);
    }
    let listed = manual.lines().filter(|line| line.starts_with("| `sfu_")).count();
    assert_eq!(listed, ALL.len(), "metrics that docs/operating.md lists");
}
