//! Coming and going.

use std::time::Duration;

use focus_signaling::wire::{Kind, LeaveReason, Source};
use sfu_testkit::{ClientSetup, Node, Publish, Setup, Wants, World};

use crate::story;

const NAMES: [&str; 10] = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy"];

fn caller(ordinal: usize) -> ClientSetup {
    ClientSetup::caller(NAMES[ordinal])
}

fn undisturbed_call(w: &mut World, clients: &[usize]) {
    w.until_all_get_all(clients);
    w.run_secs(2);
    w.reset_counts();
    w.run_secs(3);
    w.assert_undisturbed(clients, clients, Duration::from_millis(200));
}

story!(two_see_and_hear_each_other, Setup::default(), |w| {
    let [a, b] = [w.join(caller(0)), w.join(caller(1))];
    let took = w.until_all_get_all(&[a, b]);
    assert!(took < Duration::from_secs(1), "{took:?}");
    undisturbed_call(w, &[a, b]);
    assert_eq!(w.clients[a].received.from(b, 1).last_layer, 2, "a fine network bears the largest layer");
});

story!(three_see_and_hear_each_other, Setup::default(), |w| {
    let all = w.join_many(3, caller);
    undisturbed_call(w, &all);
});

story!(ten_see_and_hear_each_other, Setup::default(), |w| {
    let all = w.join_many(10, |ordinal| caller(ordinal).wanting(Wants::All { width: 320, height: 180 }));
    undisturbed_call(w, &all);
    for client in &all {
        assert_eq!(w.clients[*client].view.participants.len(), 9);
    }
});

story!(everybody_joins_at_once, Setup::default(), |w| {
    let all: Vec<_> = (0..5).map(|ordinal| w.join(caller(ordinal))).collect();
    undisturbed_call(w, &all);
});

story!(a_late_joiner_sees_a_picture_quickly, Setup::default(), |w| {
    let mut all = w.join_many(2, caller);
    w.run_secs(3);
    w.reset_counts();
    let late = w.join(caller(2));
    w.run_until("it is connected", Duration::from_secs(3), |w| w.clients[late].is_connected());
    let took = w.run_until("it sees both", Duration::from_secs(3), |w| {
        all.iter().all(|from| w.count(late, *from, Kind::Video) > 0)
    });
    assert!(took < Duration::from_millis(700), "{took:?}");
    w.assert_undisturbed(&all, &all, Duration::from_millis(200));
    all.push(late);
    w.until_all_get_all(&all);
});

story!(a_viewer_sees_and_is_not_seen, Setup::default(), |w| {
    let [a, v] = [w.join(caller(0)), w.join(ClientSetup::viewer("viewer"))];
    w.run_until("it sees", Duration::from_secs(3), |w| {
        w.gets(v, a, Source::Camera) && w.gets(v, a, Source::Microphone)
    });
    assert!(w.clients[a].view.tracks().next().is_none());
    w.run_secs(1);
    assert_eq!(w.clients[a].received.packets, 0);
});

story!(who_leaves_is_gone_at_once, Setup::default(), |w| {
    let all = w.join_many(3, caller);
    w.until_all_get_all(&all);
    let gone = w.clients[all[1]].view.me().to_owned();
    w.leave(all[1]);
    let rest = [all[0], all[2]];
    w.run_for(Duration::from_millis(200));
    for client in rest {
        assert_eq!(w.clients[client].view.left, [(gone.clone(), LeaveReason::Left)]);
        assert_eq!(w.clients[client].view.participants.len(), 1);
    }
    assert_eq!(w.foci[0].gauges().participants, 2);
    assert_eq!(w.foci[0].gauges().tracks, 4);
    w.reset_counts();
    w.run_secs(2);
    w.assert_undisturbed(&rest, &rest, Duration::from_millis(200));
});

story!(who_hangs_up_without_a_word_is_gone_at_once, Setup::default(), |w| {
    let all = w.join_many(3, caller);
    w.until_all_get_all(&all);
    w.with(all[1], |client, _| client.hang_up());
    w.run_until("the other is told", Duration::from_secs(1), |w| !w.clients[all[0]].view.left.is_empty());
    w.run_secs(1);
    assert_eq!(w.foci[0].gauges().sessions, 2);
});

story!(who_crashes_is_lost_after_a_while, Setup::default(), |w| {
    let all = w.join_many(3, caller);
    w.until_all_get_all(&all);
    let gone = w.clients[all[1]].view.me().to_owned();
    w.crash(all[1]);
    let took = w.run_until("the others are told", Duration::from_secs(40), |w| !w.clients[all[0]].view.left.is_empty());
    assert!(took > Duration::from_secs(25), "it might have come back until then: {took:?}");
    assert_eq!(w.clients[all[0]].view.left, [(gone, LeaveReason::Lost)]);
    assert!(w.clients[all[0]].view.tracks().count() == 2);
    w.run_secs(1);
    assert_eq!(w.foci[0].gauges().sessions, 2);
    let rest = [all[0], all[2]];
    w.assert_undisturbed(&rest, &rest, Duration::from_millis(200));
});

story!(whose_power_fails_is_lost_after_a_while, Setup::default(), |w| {
    let all = w.join_many(2, caller);
    w.until_all_get_all(&all);
    w.vanish(all[1]);
    w.run_until("the other is told", Duration::from_secs(65), |w| {
        w.clients[all[0]].view.left.iter().any(|(_, reason)| *reason == LeaveReason::Lost)
    });
    w.run_secs(1);
    assert_eq!(w.foci[0].gauges().sessions, 1);
});

story!(whose_media_is_dead_is_lost_though_its_socket_lives, Setup::default(), |w| {
    let all = w.join_many(2, caller);
    w.until_all_get_all(&all);
    w.network.set_outage(Node::Client(all[1]), w.now + Duration::from_secs(3600));
    let took = w.run_until("the other is told", Duration::from_secs(40), |w| !w.clients[all[0]].view.left.is_empty());
    assert!(took > Duration::from_secs(25), "its network might have come back until then: {took:?}");
    w.run_secs(1);
    assert!(w.clients[all[1]].view.ended.is_some());
    assert_eq!(w.foci[0].gauges().sessions, 1);
});

story!(the_same_identity_replaces_itself, Setup::default(), |w| {
    let all = w.join_many(2, caller);
    w.until_all_get_all(&all);
    let before = w.clients[all[1]].view.me().to_owned();
    // Another tab of bob.
    let tab = w.join(caller(1));
    w.run_until("the first tab is put out", Duration::from_secs(3), |w| w.clients[all[1]].view.closed == Some(4409));
    w.run_for(Duration::from_millis(100));
    assert_eq!(w.clients[all[0]].view.left, [(before, LeaveReason::Replaced)]);
    w.until_all_get_all(&[all[0], tab]);
    assert_eq!(w.foci[0].gauges().participants, 2);
});

story!(who_crashed_may_join_again_at_once, Setup::default(), |w| {
    let all = w.join_many(2, caller);
    w.until_all_get_all(&all);
    w.crash(all[1]);
    w.run_secs(2);
    w.rejoin(all[1]);
    w.until_all_get_all(&all);
    assert_eq!(w.clients[all[0]].view.participants.len(), 1);
});

story!(a_screen_is_shared_and_taken_back, Setup::default(), |w| {
    let all = w.join_many(3, caller);
    w.until_all_get_all(&all);
    w.publish(all[0], Publish::SCREEN);
    w.until_all_get_all(&all);
    assert_eq!(w.foci[0].gauges().tracks, 7);
    w.reset_counts();
    w.run_secs(1);
    w.assert_undisturbed(&all, &all, Duration::from_millis(200));
    w.with(all[0], |client, now| client.unpublish(now, Source::Screen));
    w.clients[all[0]].setup.publish.pop();
    w.run_for(Duration::from_millis(300));
    assert_eq!(w.foci[0].gauges().tracks, 6);
    assert!(w.clients[all[1]].view.track_of("alice", Source::Screen).is_none());
    w.reset_counts();
    w.run_secs(1);
    w.assert_undisturbed(&all, &all, Duration::from_millis(200));
    assert_eq!(w.clients[all[1]].received.from(all[0], 2).packets, 0);
});

story!(the_last_one_switches_off_the_light, Setup::default(), |w| {
    let all = w.join_many(4, caller);
    w.until_all_get_all(&all);
    for client in all {
        w.leave(client);
        w.run_for(Duration::from_millis(300));
    }
    w.run_secs(1);
    w.assert_empty(0);
});
