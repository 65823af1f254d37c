//! Who is let in.

use std::time::Duration;

use focus_signaling::wire::Source;
use sfu_testkit::{ClientSetup, Setup, World};

use crate::story;

/// Joins with `token`; answers the code of the close frame.
fn try_token(w: &mut World, token: &str) -> Option<u16> {
    let guest = w.add(ClientSetup { resumes_after: None, ..ClientSetup::viewer("guest") });
    w.open_with(guest, token);
    w.run_secs(1);
    w.clients[guest].view.closed
}

story!(a_token_is_good_once, Setup::default(), |w| {
    let all = w.join_many(2, |ordinal| ClientSetup::caller(["alice", "bob"][ordinal]));
    w.until_all_get_all(&all);
    let used = w.clients[all[0]].signal.token.clone().expect("a token");
    assert_eq!(try_token(w, &used), Some(4401));
    w.leave(all[0]);
    w.run_secs(1);
    assert_eq!(try_token(w, &used), Some(4401), "not even when its first user has left");
    // It cannot be tried out of existence either: whoever it let in stays.
    assert_eq!(w.foci[0].gauges().sessions, 1);
});

story!(a_token_ages, Setup::default(), |w| {
    let token = w.mint(0, "alice", 1, true);
    w.run_secs(60);
    let fresh = w.mint(0, "bob", 1, true);
    w.run_secs(70);
    assert_eq!(try_token(w, &token), Some(4401));
    assert_eq!(try_token(w, &fresh), None);
});

story!(a_token_of_another_focus_is_refused, Setup { foci: 2, ..Setup::default() }, |w| {
    let token = w.mint(1, "alice", 1, true);
    assert_eq!(try_token(w, &token), Some(4401));
});

story!(a_changed_token_is_refused, Setup::default(), |w| {
    let token = w.mint(0, "alice", 1, true);
    let at = (w.seed as usize * 7919) % token.len();
    let mut changed = token.clone().into_bytes();
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).expect("still text");
    assert_eq!(try_token(w, &changed), Some(4401));
    for nonsense in ["", ".", "..", "x.y.z", &"A".repeat(4000)] {
        assert!(matches!(try_token(w, nonsense), Some(4400 | 4401)), "{nonsense}");
    }
    assert_eq!(try_token(w, &token), None);
    assert_eq!(w.foci[0].control.counters().joins, 1);
});

story!(
    a_full_conference_takes_nobody_more,
    {
        let mut setup = Setup::default();
        setup.focus.control_bounds.participants = 3;
        setup
    },
    |w| {
        let all = w.join_many(3, |ordinal| ClientSetup::caller(["alice", "bob", "carol"][ordinal]));
        w.until_all_get_all(&all);
        let late = w.join(ClientSetup { resumes_after: None, ..ClientSetup::caller("dave") });
        w.run_secs(1);
        assert!(w.clients[late].view.has_error("M_RESOURCE_LIMIT_EXCEEDED"), "{:?}", w.clients[late].view.errors);
        w.leave(all[0]);
        w.run_secs(1);
        w.rejoin(late);
        w.until_all_get_all(&[all[1], all[2], late]);
    }
);

story!(who_may_not_publish_may_watch, Setup::default(), |w| {
    let a = w.join(ClientSetup::caller("alice"));
    let token = w.mint(0, "bob", 1, false);
    let b = w.add(ClientSetup::caller("bob"));
    w.open_with(b, &token);
    w.run_secs(1);
    assert!(w.clients[b].view.has_error("M_FORBIDDEN"));
    assert_eq!(w.foci[0].gauges().tracks, 2);
    let token = w.mint(0, "carol", 1, false);
    let c = w.add(ClientSetup::viewer("carol"));
    w.open_with(c, &token);
    w.run_until("carol sees", Duration::from_secs(3), |w| w.gets(c, a, Source::Camera));
});
