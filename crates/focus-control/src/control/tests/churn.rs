use focus_signaling::wire::Source;

use super::world::{World, ms};
use crate::{ControlBounds, Gauges};

/// Whoever has left has left nothing.
#[test]
fn ten_thousand_come_and_go_and_nothing_is_left() {
    let mut w = World::with(4, 3, ControlBounds::default());
    let mut here = std::collections::VecDeque::new();
    for i in 0..10_000 {
        let client = w.join(&format!("i{}", i % 50), &format!("c{}", i % 7));
        if i % 3 == 0 {
            let track = w.publish(&client, 1, &[("0", Source::Camera)]).remove(0);
            if let Some(other) = here.back() {
                w.subscribe(other, &[(&track, "1")]);
            }
        }
        if i % 5 == 0 {
            w.drop_socket(&client);
        }
        here.push_back(client);
        if here.len() > 12
            && let Some(old) = here.pop_front()
        {
            // Some were replaced or have dropped out; a message of a socket that is gone is turned away.
            w.leave(&old);
        }
        w.pass(ms(40));
        w.workers.iter_mut().for_each(|worker| worker.log.clear());
        w.inboxes.clear();
        w.closed.clear();
    }
    here.iter().for_each(|client| w.leave(client));
    w.pass(ms(200_000));
    assert_eq!(w.control.gauges(), Gauges::default());
    assert_eq!(w.next_timeout(), None);
    assert!(w.control.requests.is_empty() && w.control.conference_names.is_empty() && w.control.connections.is_empty());
    assert!(w.workers.iter().all(|w| w.peers.is_empty() && w.tracks.is_empty() && w.subscriptions.is_empty()));
    let counters = w.control.counters();
    assert_eq!(counters.joins, 10_000);
    assert_eq!(counters.left + counters.lost + counters.replaced, 10_000);
    assert_eq!(counters.command_failures, 0);
}
