//! Which plots there are.

use super::super::progress::{bits, micros};
use super::super::report::{Report, Second};
use super::plot::{Axis, Plot, Series, ticks};

pub fn all(report: &Report) -> Vec<String> {
    let plots = [
        over_time(
            report,
            "Latency",
            Axis::Log,
            |us| micros(Some(us)),
            &[("p50", 'a', |s| s.latency_p50_us), ("p99", 'b', |s| s.latency_p99_us)],
        ),
        distribution(report),
        over_time(
            report,
            "Bitrate of all",
            Axis::Linear,
            bits,
            &[("received", 'a', |s| Some(s.receive_bps)), ("sent", 'b', |s| Some(s.send_bps))],
        ),
        over_time(
            report,
            "CPU",
            Axis::Linear,
            percent_of_a_core,
            &[("server", 'a', |s| s.server_cpu), ("load", 'c', |s| s.load_cpu)],
        ),
        over_time(
            report,
            "Memory of the server",
            Axis::Linear,
            mib,
            &[("resident", 'a', |s| s.server_bytes.map(|bytes| bytes as f64 / 1_048_576.0))],
        ),
        joins(report),
        over_time(
            report,
            "Participants",
            Axis::Count,
            count,
            &[("connected", 'a', |s| Some(s.connected as f64)), ("failed", 'b', |s| Some(s.failed as f64))],
        ),
        over_time(
            report,
            "Trouble, in each second",
            Axis::Count,
            count,
            &[
                ("key-frame requests", 'a', |s| Some(s.keyframe_requests as f64)),
                ("freezes", 'b', |s| Some(s.freezes as f64)),
            ],
        ),
    ];
    plots.iter().map(Plot::render).collect()
}

fn percent_of_a_core(cores: f64) -> String {
    format!("{:.0} %", cores * 100.0)
}

fn mib(mib: f64) -> String {
    format!("{mib:.0} MiB")
}

fn count(count: f64) -> String {
    if count.fract() == 0.0 { format!("{count:.0}") } else { format!("{count:.1}") }
}

type Value = fn(&Second) -> Option<f64>;

fn over_time(
    report: &Report,
    title: &'static str,
    axis: Axis,
    y_text: fn(f64) -> String,
    series: &[(&'static str, char, Value)],
) -> Plot {
    let end = report.timeline.last().map_or(1.0, |second| second.at_s);
    let x_ticks =
        ticks(end, false).into_iter().filter(|at| *at <= end).map(|at| (at, format!("{} s", count(at)))).collect();
    let series = series.iter().map(|(name, colour, value)| Series {
        name,
        colour: *colour,
        points: report.timeline.iter().filter_map(|second| Some((second.at_s, value(second)?))).collect(),
        dots: false,
    });
    let series = series.collect();
    Plot { title, series, x_ticks, x_range: (0.0, end), y_text, axis, window: Some(report.window_s) }
}

/// On an axis where each further nine has the same room.
fn distribution(report: &Report) -> Plot {
    let nines = |share: f64| -(1.0 - share).max(1e-5).log10();
    let points = report.latency_curve.iter().map(|(share, us)| (nines(*share), *us)).collect();
    let marks =
        [(0.0, "0"), (0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99"), (1.0, "max")];
    Plot {
        title: "Distribution of latency",
        series: vec![Series { name: "of all packets", colour: 'a', points, dots: false }],
        x_ticks: marks.map(|(share, text)| (nines(share), text.to_owned())).to_vec(),
        x_range: (0.0, nines(1.0)),
        y_text: |us| micros(Some(us)),
        axis: Axis::Log,
        window: None,
    }
}

/// In the order of joining.
fn joins(report: &Report) -> Plot {
    let rooms = report.summary.rooms;
    // People come in the order in which they joined, whatever room they are in.
    let dots = |name, colour, value: fn(&super::PersonReport) -> Option<f64>| Series {
        name,
        colour,
        points: report.people.iter().enumerate().filter_map(|(n, p)| Some(((n + 1) as f64, value(p)?))).collect(),
        dots: true,
    };
    let last = report.people.len().max(1) as f64;
    Plot {
        title: if rooms > 1 { "Join times, in order, rooms in turn" } else { "Join times, in order" },
        series: vec![dots("connected", 'a', |p| p.connect_ms), dots("first media", 'b', |p| p.first_media_ms)],
        x_ticks: ticks(last, true)
            .into_iter()
            .filter(|n| n.fract() == 0.0 && (1.0..=last).contains(n))
            .map(|n| (n, count(n)))
            .collect(),
        x_range: (0.0, last + 1.0),
        y_text: |ms| micros(Some(ms * 1000.0)),
        axis: Axis::Linear,
        window: None,
    }
}
