//! What a device can do to others by to-device messages: nothing.

use std::time::Duration;

use focus_signaling::todevice::Content;
use sfu_testkit::{ClientSetup, Setup, World};

use super::{bad_post, caller, until_all_call};
use crate::story;

/// All that honest clients have sent, changed in one way or another.
fn forgeries(w: &World) -> Vec<Content> {
    let mut forged = Vec::new();
    for (_, content) in &w.posted {
        forged.push(content.clone());
        for link in 0..4 {
            forged.push(Content { dest_session: Some(format!("f0.{link}")), ..content.clone() });
        }
        forged.push(Content { seq: None, m: None, close: Some(1000), ..content.clone() });
        forged.push(Content { dest_session: None, session: "forged".into(), ..content.clone() });
        forged.push(Content { room_id: "!conference9:test".into(), session: "elsewhere".into(), ..content.clone() });
    }
    forged
}

fn nobody_noticed(w: &mut World, all: &[usize]) {
    w.assert_undisturbed(all, all, Duration::from_millis(300));
    for client in all {
        assert!(w.clients[*client].view.left.is_empty(), "{:?}", w.clients[*client].view.left);
        assert_eq!(w.clients[*client].view.participants.len(), all.len() - 1);
        assert_eq!(w.clients[*client].lives, 1);
    }
}

story!(what_was_said_once_says_nothing_again, Setup::default(), |w| {
    let all = w.join_many(3, caller);
    until_all_call(w, &all);
    w.run_secs(1);
    w.reset_counts();
    // Every homeserver delivers everything once more, from the devices that sent it.
    for (client, content) in std::mem::take(&mut w.posted) {
        w.post_to_focus(client, content);
        w.run_for(Duration::from_millis(150));
    }
    w.run_secs(20);
    nobody_noticed(w, &all);
    assert_eq!(w.foci[0].desk.joined.len(), 3);
    assert!(w.foci[0].desk.server.counters().late > 0);
});

story!(a_stranger_gets_nowhere, Setup::default(), |w| {
    w.foci[0].desk.strangers.insert("mallory".into());
    let all = w.join_many(2, caller);
    until_all_call(w, &all);
    w.run_secs(1);
    w.reset_counts();
    let mallory = w.join(ClientSetup { resumes_after: None, ..ClientSetup::to_device("mallory") });
    w.run_until("refused", Duration::from_secs(5), |w| w.clients[mallory].view.has_error("M_FORBIDDEN"));
    for content in forgeries(w) {
        w.post_to_focus(mallory, content);
        w.run_for(Duration::from_millis(20));
    }
    w.run_secs(20);
    nobody_noticed(w, &all);
    assert_eq!(w.foci[0].gauges().participants, 2);
});

story!(a_member_is_nobody_but_itself, bad_post(), |w| {
    let all = w.join_many(2, caller);
    until_all_call(w, &all);
    w.run_secs(1);
    w.reset_counts();
    let ids = |w: &World, client: usize| w.clients[client].view.participants.keys().cloned().collect::<Vec<_>>();
    let before = [ids(w, all[0]), ids(w, all[1])];
    // It is in the room, so it may come in; as whom, does not depend on what it says.
    let mallory = w.add(ClientSetup::to_device("mallory"));
    for content in forgeries(w) {
        w.post_to_focus(mallory, content);
        w.run_for(Duration::from_millis(40));
    }
    w.run_secs(40);
    w.assert_undisturbed(&all, &all, Duration::from_millis(300));
    assert!(w.foci[0].desk.joined.iter().skip(2).all(|identity| identity.starts_with("mallory as ")));
    for client in all {
        assert_eq!(w.clients[client].lives, 1);
        let honest = w.clients[client].view.participants.values().filter(|p| !p.name.starts_with("mallory"));
        assert_eq!(honest.map(|p| p.id.clone()).collect::<Vec<_>>(), before[client]);
    }
});

story!(a_flood_is_refused, Setup::default(), |w| {
    let all = w.join_many(2, caller);
    until_all_call(w, &all);
    w.run_secs(1);
    w.reset_counts();
    let mallory = w.add(ClientSetup::to_device("mallory"));
    let hello = w.posted[0].1.clone();
    for n in 0..2000 {
        w.post_to_focus(mallory, Content { session: format!("flood {n}"), ..hello.clone() });
        w.run_for(Duration::from_millis(1));
    }
    assert!(w.foci[0].desk.joined.len() <= 2 + 4, "a few links of one device");
    assert!(w.foci[0].desk.server.counters().refused > 1900);
    // Others still come in.
    let carol = w.join(caller(2));
    until_all_call(w, &[all[0], all[1], carol]);
    w.run_secs(1);
    w.assert_undisturbed(&all, &all, Duration::from_millis(300));
});
