//! Key announcements for end-to-end encryption pass through unread.

use std::time::Duration;

use focus_signaling::wire::{Announce, ClientMessage, KeySalt, Source};
use sfu_testkit::{ClientSetup, Setup};

use crate::story;

fn announce(indices: &[u32]) -> ClientMessage {
    let keys = indices.iter().map(|index| KeySalt { index: *index, salt: format!("{index:021}A") }).collect();
    ClientMessage::Announce(Announce { keys, key_index: indices.last().copied().unwrap_or_default() })
}

story!(keys_reach_all_who_are_there_and_all_who_come, Setup::default(), |w| {
    let [a, b] = ["alice", "bob"].map(|name| w.join(ClientSetup::caller(name)));
    w.until_all_get_all(&[a, b]);
    let known = |w: &sfu_testkit::World, client: usize| {
        let alice = w.clients[client].view.named("alice").expect("alice is there");
        alice.keys.iter().map(|key| key.index).collect::<Vec<_>>()
    };
    w.say(a, announce(&[1]));
    w.run_for(Duration::from_millis(100));
    assert_eq!(known(w, b), [1]);
    w.cut_socket(b);
    w.say(a, announce(&[1, 2]));
    w.run_secs(1);
    assert_eq!(known(w, b), [1, 2], "told when it came back");
    let c = w.join(ClientSetup::caller("carol"));
    w.until_all_get_all(&[a, b, c]);
    assert_eq!(known(w, c), [1, 2]);
    w.say(a, announce(&[2, 3]));
    w.run_for(Duration::from_millis(100));
    assert_eq!((known(w, b), known(w, c)), (vec![2, 3], vec![2, 3]));
    // Nobody loses a picture over it.
    assert!(w.gets(b, a, Source::Camera) && w.gets(c, a, Source::Camera));
});
