//! A focus that shuts down takes nobody's call with it.

use std::time::Duration;

use sfu_testkit::{ClientSetup, Setup};

use crate::story;

fn two_foci() -> Setup {
    Setup { foci: 2, ..Setup::default() }
}

story!(everybody_moves_to_the_next_focus, two_foci(), |w| {
    let all = w.join_many(4, |ordinal| ClientSetup::caller(["alice", "bob", "carol", "dave"][ordinal]));
    w.until_all_get_all(&all);
    w.drain(0, Duration::from_secs(30));
    let took = w.run_until("the focus is empty", Duration::from_secs(10), |w| w.drained == [0]);
    assert!(took < Duration::from_secs(4), "{took:?}");
    w.until_all_get_all(&all);
    assert_eq!(w.foci[1].gauges().participants, 4);
    w.run_secs(1);
    w.assert_empty(0);
    w.reset_counts();
    w.run_secs(2);
    w.assert_undisturbed(&all, &all, Duration::from_millis(200));
});

story!(who_does_not_move_is_put_out_at_the_deadline, two_foci(), |w| {
    let stays = |ordinal| ClientSetup { moves: false, ..ClientSetup::caller(["alice", "bob"][ordinal]) };
    let all = w.join_many(2, stays);
    w.until_all_get_all(&all);
    w.reset_counts();
    w.drain(0, Duration::from_secs(10));
    w.run_secs(9);
    w.assert_undisturbed(&all, &all, Duration::from_millis(200));
    assert!(w.drained.is_empty());
    w.run_secs(2);
    assert_eq!(w.drained, [0]);
    assert!(all.iter().all(|client| w.clients[*client].view.closed == Some(4503)));
    w.run_secs(10);
    w.assert_empty(0);
});

story!(a_draining_focus_takes_nobody_in, two_foci(), |w| {
    let stays = |ordinal| ClientSetup { moves: false, ..ClientSetup::caller(["alice", "bob"][ordinal]) };
    let all = w.join_many(2, stays);
    w.until_all_get_all(&all);
    w.drain(0, Duration::from_secs(20));
    let late = w.join(ClientSetup { resumes_after: None, ..ClientSetup::caller("carol") });
    w.run_secs(1);
    assert_eq!(w.clients[late].view.closed, Some(4503));
    // Those who are in may still come back to their session.
    w.cut_socket(all[0]);
    w.run_secs(2);
    assert_eq!(w.clients[all[0]].view.resumes, 1);
});
