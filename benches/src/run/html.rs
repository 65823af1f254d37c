//! The report as one page that needs nothing else: no script, no font, no picture from anywhere.

mod plot;
mod plots;

use std::fmt::Write as _;

use super::progress::{bits, micros};
use super::report::{PersonReport, Report, Spread, Summary};

/// Text as it may stand in HTML, also within an attribute.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

pub fn render(report: &Report) -> String {
    let summary = &report.summary;
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
        <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
        <meta name=\"color-scheme\" content=\"light dark\"><title>sfu-bench: {} × {}, {}</title>\
        <style>{}</style></head><body><main>",
        summary.rooms,
        summary.participants,
        escape(&summary.profile),
        include_str!("html/style.css"),
    );
    page.push_str(&header(summary));
    page.push_str(&cards(summary));
    for warning in summary.warnings() {
        let _ = write!(page, "<p class=\"note warn\">{}</p>", escape(&warning));
    }
    page.push_str("<section class=\"plots\">");
    plots::all(report).iter().for_each(|plot| page.push_str(plot));
    page.push_str("</section>");
    page.push_str(&table(&report.people));
    page.push_str(NOTES);
    page.push_str("</main></body></html>\n");
    page
}

const NOTES: &str = "<footer><p>Shaded: not measured, people join. Bitrates, loss, freezes and latency are of the measured window, which begins when all \
    have joined; join times and key-frame requests are of the whole run. Latency is from the publisher's stamp to the \
    receiver's stack, repairs included: both ends run in the load generator, and their part of it is in the figure. \
    Loss is what was still missing after repair. A picture is frozen when no new frame could be shown for more than \
    150 ms and three frame times.</p></footer>";

fn header(summary: &Summary) -> String {
    let faults = summary.faults();
    let (class, verdict) = match (faults.is_empty(), summary.interrupted) {
        (false, _) => ("bad", faults.join(", ")),
        (true, true) => ("warn", "interrupted".to_owned()),
        (true, false) => ("good", "nobody failed".to_owned()),
    };
    let layers = if summary.simulcast { "simulcast" } else { "one layer" };
    format!(
        "<header><div><h1>{rooms} {room_word} × {participants} participants</h1><p>{profile} of {publish}, {layers} · {duration:.0} s \
        · <code>{server}</code></p></div><span class=\"verdict {class}\">{verdict}</span></header>",
        rooms = summary.rooms,
        room_word = if summary.rooms == 1 { "room" } else { "rooms" },
        participants = summary.participants,
        profile = escape(&summary.profile),
        publish = escape(&summary.publish.join(", ")),
        duration = summary.duration_s,
        server = escape(&summary.server),
        verdict = escape(&verdict),
    )
}

fn cards(summary: &Summary) -> String {
    let spread =
        |spread: Spread| (millis(spread.p50), format!("p99 {}, max {}", millis(spread.p99), millis(spread.max)));
    let latency = summary.latency;
    let people = summary.rooms * summary.participants;
    let (connect, connect_more) = spread(summary.connect_ms);
    let (media, media_more) = spread(summary.first_media_ms);
    let cpu = |cpu: Option<f64>| cpu.map_or("–".to_owned(), |cpu| format!("{:.0} %", cpu * 100.0));
    let mib =
        |bytes: Option<u64>| bytes.map_or("–".to_owned(), |bytes| format!("{:.0} MiB", bytes as f64 / 1_048_576.0));
    let server_more =
        format!("of a core; most {}; memory {}", cpu(summary.server_cpu_max), mib(summary.server_bytes_max));
    let load_more = format!("of {} × 100 %", summary.load_cores);
    let cards = [
        ("Joined", format!("{} / {people}", summary.joined), format!("{} failed", summary.failed)),
        ("Connected after", connect, connect_more),
        ("First media after", media, media_more),
        (
            "Latency, median",
            micros(latency.p50_us),
            format!("p99 {}, p99.9 {}", micros(latency.p99_us), micros(latency.p999_us)),
        ),
        ("Loss", percent(summary.loss), format!("{} of {} packets", summary.packets_lost, summary.packets_received)),
        ("Freezes", summary.freezes.to_string(), format!("{:.1} s in all", summary.frozen_ms / 1000.0)),
        ("Received", bits(summary.receive_bps), format!("sent {}", bits(summary.send_bps))),
        (
            "Key-frame requests",
            summary.keyframe_requests.to_string(),
            format!("{} made by viewers", summary.keyframe_requests_sent),
        ),
        ("Server CPU", cpu(summary.server_cpu), server_more),
        ("Load CPU", cpu(summary.load_cpu), load_more),
    ];
    let mut out = "<section class=\"cards\">".to_owned();
    for (name, value, more) in cards {
        let _ = write!(out, "<div class=\"card\"><h2>{name}</h2><b>{value}</b><small>{more}</small></div>");
    }
    out.push_str("</section>");
    out
}

fn table(people: &[PersonReport]) -> String {
    let mut out = "<section><h2 class=\"title\">Participants</h2><div class=\"table\"><table><thead><tr><th>Name</th>\
        <th>Connected</th><th>First media</th><th>Up</th><th>Down</th><th>Loss</th><th>Freezes</th><th>p50</th>\
        <th>p99</th><th>p99.9</th><th>Key frames</th><th>Streams</th></tr></thead><tbody>"
        .to_owned();
    for person in people {
        let bad = |bad: bool| if bad { " class=\"bad\"" } else { "" };
        let _ = write!(
            out,
            "<tr><th>{}</th><td{}>{}</td><td>{}</td><td>{}</td><td>{}</td><td{}>{}</td><td{}>{}</td><td>{}</td>\
            <td>{}</td><td>{}</td><td>{}</td><td{}>{} / {}</td></tr>",
            escape(&person.name),
            bad(!person.joined),
            millis(person.connect_ms),
            millis(person.first_media_ms),
            bits(person.send_bps),
            bits(person.receive_bps),
            bad(person.loss > 0.001),
            percent(person.loss),
            bad(person.freezes > 0),
            person.freezes,
            micros(person.latency.p50_us),
            micros(person.latency.p99_us),
            micros(person.latency.p999_us),
            person.keyframe_requests,
            bad(person.streams_without_media > 0),
            person.streams - person.streams_without_media,
            person.streams,
        );
        if let Some(error) = &person.error {
            let _ = write!(out, "<tr class=\"error\"><td colspan=\"12\">{}</td></tr>", escape(error));
        }
    }
    out.push_str("</tbody></table></div></section>");
    out
}

fn millis(ms: Option<f64>) -> String {
    micros(ms.map(|ms| ms * 1000.0))
}

fn percent(share: f64) -> String {
    match share {
        0.0 => "0 %".to_owned(),
        share if share < 0.001 => format!("{:.4} %", share * 100.0),
        share => format!("{:.2} %", share * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::sample;
    use super::*;

    #[test]
    fn everybody_is_on_the_page_and_no_name_is_markup() {
        let report = sample();
        let page = render(&report);
        for person in &report.people {
            assert!(page.contains(&format!("<th>{}</th>", escape(&person.name))), "{}", person.name);
        }
        assert!(!page.contains("<script"), "a name is text");
        assert!(page.contains("4503 &lt;draining&gt; &amp; &quot;gone&quot;"));
        assert!(page.contains("1 participants failed"));
        assert!(
            !page.contains("http-equiv") && !page.contains("src=") && !page.contains("@import"),
            "nothing from outside"
        );
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }

    #[test]
    fn a_run_without_anything_still_makes_a_page() {
        let mut report = sample();
        (report.people, report.timeline, report.latency_curve) = (Vec::new(), Vec::new(), Vec::new());
        report.summary = Summary::default();
        let page = render(&report);
        assert!(page.contains("nobody failed") && !page.contains("NaN"));
    }
}
