//! An hour in which nothing happens.

use sfu_testkit::{ClientSetup, Setup};

use crate::story;

story!(an_idle_hour_leaves_all_as_it_was, Setup::workers(2, 2), |w| {
    let all = w.join_many(4, |ordinal| ClientSetup::viewer(["alice", "bob", "carol", "dave"][ordinal]));
    w.run_secs(10);
    let (before, leftovers) = (w.foci[0].gauges(), w.foci[0].leftovers());
    let sent = w.foci[0].counter("datagrams_sent");
    w.run_secs(3600);
    assert!(all.iter().all(|client| w.clients[*client].is_connected() && w.clients[*client].lives == 1));
    let after = w.foci[0].gauges();
    assert_eq!(
        (before.sessions, before.participants, before.conferences),
        (after.sessions, after.participants, after.conferences)
    );
    assert_eq!((after.tracks, after.subscriptions, after.used_tokens), (0, 0, 0));
    assert_eq!(w.foci[0].leftovers(), leftovers);
    // STUN answers and RTCP, and little of either.
    let per_second = (w.foci[0].counter("datagrams_sent") - sent) as f64 / 3600.0 / 4.0;
    assert!(per_second < 5.0, "{per_second} datagrams per second and idle peer");
    assert!(w.all_get_all(&all));
});
