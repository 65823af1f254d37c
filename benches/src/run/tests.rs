//! Real clients, a real server, loopback only.

use std::net::SocketAddr;

use sfu_server::config::Config;
use sfu_server::node::Node;

use super::*;

const PACE: Duration = Duration::from_millis(50);

fn two_in_a_gallery() -> Plan {
    let sources = vec![Source::Audio, Source::Video];
    Plan { rooms: 1, participants: 2, profile: Profile::Gallery, sources, simulcast: true }
}

fn plain(target: Target) -> Arc<dyn Door> {
    Arc::new(Plain::new(target, two_in_a_gallery()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hear_and_see_each_other() {
    let loopback: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let mut config = Config { dev: true, ..Config::default() };
    config.http.listen = loopback;
    config.media.listen = vec![loopback];
    config.media.workers = 1;
    let node = Node::start(config).await.expect("a node starts");
    let target = Target::new(&format!("http://{}", node.http_addr()), None, None).expect("a target");
    let report = call(two_in_a_gallery(), plain(target), None, PACE, SECOND).await.expect("a report");
    node.stop().await;

    assert!(report.summary.faults().is_empty(), "{:?}", report.people);
    assert_eq!((report.summary.joined, report.summary.streams), (2, 4));
    for person in &report.people {
        assert!(person.connect_ms.is_some() && person.latency.p50_us.is_some(), "{person:?}");
        assert!(person.frames > 0 && person.packets_sent > 0 && person.packets_received > 0, "{person:?}");
    }
    assert!(report.summary.server_cpu.is_none() && !report.timeline.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_that_fail_are_data() {
    // A port that was free a moment ago and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let target = Target::new(&format!("http://{free}"), None, None).expect("a target");
    let report =
        call(two_in_a_gallery(), plain(target), None, PACE, Duration::from_millis(10)).await.expect("a report");
    assert_eq!((report.summary.joined, report.summary.failed, report.summary.streams), (0, 2, 0));
    assert_eq!(report.summary.faults(), ["2 participants failed"]);
    assert!(
        report.people.iter().all(|person| person.error.as_deref().is_some_and(|why| why.contains("cannot connect")))
    );
}
