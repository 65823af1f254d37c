use std::time::Duration;

use super::super::plan::{Profile, Source};
use super::super::receive::{Arrival, Expected, Stream};
use super::*;

/// A run of three, one of whom did not get in.
pub fn sample() -> Report {
    let mut people: Vec<PersonReport> = (0..3)
        .map(|seat| PersonReport {
            name: format!("room 1 · seat {}", seat + 1),
            room: 1,
            joined: true,
            connect_ms: Some(10.0 + seat as f64),
            first_media_ms: (seat > 0).then_some(14.5),
            send_bps: 532_000.0,
            receive_bps: 1.1e6,
            packets_sent: 2000,
            packets_received: 3990,
            packets_lost: 10,
            loss: 0.0025,
            latency: Latency { p50_us: Some(310.0), p99_us: Some(1400.0), p999_us: Some(2100.0), max_us: Some(9000.0) },
            keyframe_requests: 1,
            streams: 4,
            ..PersonReport::default()
        })
        .collect();
    people[2].error = Some("closed by the server: 4503 <draining> & \"gone\"".to_owned());
    people[2].name = "<script>alert('x')</script> & co".to_owned();
    let timeline: Vec<Second> = (0..10)
        .map(|second| Second {
            at_s: f64::from(second),
            connected: 3,
            send_bps: 1e6,
            receive_bps: 3e6,
            latency_p50_us: (second > 2).then_some(300.0),
            latency_p99_us: (second > 2).then_some(1200.0),
            server_cpu: Some(0.25),
            server_bytes: Some(30 << 20),
            load_cpu: Some(0.5),
            ..Second::default()
        })
        .collect();
    let mut latency = Histogram::default();
    (0..1000).for_each(|packet| latency.add(200 + packet));
    let mut summary = Summary { command: "run".to_owned(), profile: "gallery".to_owned(), ..Summary::default() };
    summary.total(&people, &latency, &timeline);
    let latency_curve = [0.5, 0.9, 0.99].map(|share| (share, latency.percentile(share).unwrap_or_default())).to_vec();
    Report { summary, people, timeline, window_s: (2.0, 9.0), latency_curve }
}

#[test]
fn the_json_reads_back_as_it_was() {
    let report = sample();
    let text = serde_json::to_string(&report).expect("JSON");
    assert!(!text.contains('\n'));
    assert_eq!(serde_json::from_str::<Report>(&text).expect("a report"), report);
}

/// Scripts read these names.
#[test]
fn the_names_of_the_fields_are_fixed() {
    let value = serde_json::to_value(sample()).expect("JSON");
    for promised in [
        "command",
        "joined",
        "failed",
        "connect_ms",
        "first_media_ms",
        "send_bps",
        "receive_bps",
        "loss",
        "freezes",
        "latency",
        "keyframe_requests",
        "server_cpu",
        "people",
        "timeline",
    ] {
        assert!(value.get(promised).is_some(), "{promised}");
    }
    assert!(value["latency"]["p999_us"].is_number());
    assert!(value["server_bytes_max"].is_null(), "absent figures are null, not zero");
}

#[test]
fn totals_and_faults() {
    let mut summary = sample().summary;
    assert_eq!((summary.joined, summary.failed, summary.packets_lost, summary.streams), (3, 1, 30, 12));
    assert_eq!(summary.connect_ms, Spread { p50: Some(11.0), p99: Some(12.0), max: Some(12.0) });
    assert_eq!(summary.first_media_ms.max, Some(14.5));
    assert_eq!((summary.server_cpu, summary.server_cpu_max), (Some(0.25), Some(0.25)));
    assert!((summary.loss - 0.0025).abs() < 1e-9);
    assert_eq!(summary.faults(), ["1 participants failed"]);
    summary.failed = 0;
    assert!(summary.faults().is_empty());
    summary.load_cores = 1;
    assert!(summary.warnings().is_empty(), "{:?}", summary.warnings());
    assert_eq!(Summary { load_cpu: Some(0.9), ..summary.clone() }.warnings().len(), 1);
    assert_eq!(Summary { server_waited: Some(0.3), ..summary.clone() }.warnings().len(), 1, "more than it ran");
    assert!(Summary { server_waited: Some(0.2), ..summary }.warnings().is_empty());
}

#[test]
fn a_person_is_measured_in_the_window_only() {
    let sources = vec![Source::Audio];
    let plan = Plan { rooms: 1, participants: 3, profile: Profile::Audio, sources, simulcast: false };
    let person = Person::new(1, plan.name(1), None);
    let start = Instant::now();
    let mut record = person.record();
    record.opened_at = Some(start);
    record.connected_at = Some(start + Duration::from_millis(20));
    record.first_media_at = Some(start + Duration::from_millis(30));
    record.streams.insert(5, Stream::new(Expected { person: 0, source: Source::Audio }, None));
    let mark = super::super::mark::Mark { person: 0, source: 0, layer: 0, frame: 0, index: 0, count: 1, stamp: 0 };
    let packet = |record: &mut Record, number: u16| {
        record.received.add(1000);
        let Record { streams, latency, .. } = record;
        let stream = streams.get_mut(&5).expect("a stream");
        let payload = mark.padded(80).into();
        let arrival = Arrival { at: start, clock: 20_000, sequence: number, marker: false, payload, length: 1000 };
        stream.handle_packet(&arrival, None, latency);
    };
    packet(&mut record, 1);
    record.begin(start + Duration::from_secs(1));
    packet(&mut record, 2);
    packet(&mut record, 4);
    let window = record.end(start + Duration::from_secs(3), Duration::from_secs(2));
    let report = PersonReport::new(&plan, &person, &record, &window, 2);
    assert_eq!((report.packets_received, report.packets_lost, report.receive_bps), (2, 1, 8000.0));
    assert_eq!((report.connect_ms, report.first_media_ms), (Some(20.0), None), "nobody was there when it came");
    assert_eq!((report.streams, report.streams_without_media), (2, 1));
    assert_eq!(report.latency.p50_us, Some(20.0));
}
