//! Networks change under a call.

use std::time::Duration;

use sfu_testkit::{ClientSetup, Setup};

use crate::story;

fn caller(ordinal: usize) -> ClientSetup {
    ClientSetup::caller(["alice", "bob", "carol"][ordinal])
}

story!(a_restart_brings_media_back_after_a_change_of_network, Setup::default(), |w| {
    let all = w.join_many(3, caller);
    w.until_all_get_all(&all);
    w.run_secs(1);
    w.checkers.leniency.gaps = true;
    w.change_network(all[1], false);
    w.run_secs(2);
    assert!(!w.gets(all[1], all[0], focus_signaling::wire::Source::Camera), "the old address is gone");
    w.with(all[1], |client, now| {
        let local = client.local;
        client.move_to(now, local, true);
    });
    let took = w.until_all_get_all(&all);
    assert!(took < Duration::from_secs(2), "{took:?}");
    w.run_secs(1);
    w.reset_counts();
    w.run_secs(2);
    w.assert_undisturbed(&all, &all, Duration::from_millis(200));
    assert_eq!(w.clients[all[1]].lives, 1, "the same peer connection, so sequence numbers went on");
});

story!(a_restart_without_a_change_loses_nothing, Setup::default(), |w| {
    let all = w.join_many(2, caller);
    w.until_all_get_all(&all);
    w.run_secs(1);
    w.reset_counts();
    w.with(all[1], |client, now| {
        let local = client.local;
        client.move_to(now, local, true);
    });
    w.run_secs(4);
    w.assert_undisturbed(&all, &all, Duration::from_millis(400));
});

story!(a_nat_may_give_another_address, Setup::workers(2, 50), |w| {
    let all = w.join_many(3, caller);
    w.until_all_get_all(&all);
    w.run_secs(1);
    w.checkers.leniency.gaps = true;
    w.rebind_nat(all[1]);
    let took = w.run_until("media comes back by itself", Duration::from_secs(12), |w| {
        w.now > Duration::from_secs(4) && w.all_get_all(&all)
    });
    assert!(took < Duration::from_secs(8), "{took:?}");
    w.run_secs(2);
    w.reset_counts();
    w.run_secs(2);
    w.assert_undisturbed(&all, &all, Duration::from_millis(200));
});

story!(five_seconds_without_any_network_are_survived, Setup::default(), |w| {
    let all = w.join_many(3, caller);
    w.until_all_get_all(&all);
    w.run_secs(1);
    w.checkers.leniency.gaps = true;
    w.black_out(all[1], Duration::from_secs(5));
    w.run_secs(5);
    let took = w.until_all_get_all(&all);
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(w.clients[all[0]].view.left.is_empty());
});
