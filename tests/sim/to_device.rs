//! Clients without a socket: their first messages go to the focus's Matrix device, the rest over the data channel.

mod hostile;

use std::time::Duration;

use focus_signaling::channel::PART_BYTES_MAX;
use sfu_testkit::client::Way;
use sfu_testkit::world::Post;
use sfu_testkit::{ClientSetup, Path, Publish, Setup, World};

use crate::story;

fn caller(ordinal: usize) -> ClientSetup {
    ClientSetup::to_device(["alice", "bob", "carol", "dave"][ordinal])
}

/// Homeservers on a bad day.
const BAD_POST: Post =
    Post { delay: Duration::from_millis(30), jitter: Duration::from_millis(700), loss: 0.1, repeat: 0.2 };

/// A message of these homeservers may need all of its repetitions.
const PATIENCE: Duration = Duration::from_secs(60);

fn bad_post() -> Setup {
    Setup { post: BAD_POST, ..Setup::default() }
}

fn all_over_channels(w: &World, clients: &[usize]) -> bool {
    clients.iter().all(|client| w.clients[*client].carriage.way == Way::Channel)
}

#[track_caller]
fn until_all_call(w: &mut World, clients: &[usize]) {
    w.run_until("all get all over their data channels", PATIENCE, |w| {
        all_over_channels(w, clients) && w.all_get_all(clients)
    });
}

story!(a_call_without_any_socket, Setup::default(), |w| {
    let all = w.join_many(3, caller);
    until_all_call(w, &all);
    // What homeservers carried is small, and opened nothing but data channels.
    let texts: Vec<String> = w.posted.iter().map(|(_, content)| content.to_json()).collect();
    assert!(texts.iter().all(|text| text.len() < 3000 && !text.contains("m=audio") && !text.contains("m=video")));
    assert!(texts.len() <= 3 * 8, "{} events", texts.len());
    w.run_secs(1);
    assert!(all.iter().all(|client| w.clients[*client].view.errors.is_empty()));
    for client in all {
        w.leave(client);
    }
    w.run_secs(20);
    w.assert_empty(0);
    assert_eq!(w.foci[0].desk.server.sizes().1, 0, "links");
});

story!(one_of_each_kind, Setup::workers(2, 1), |w| {
    let all = [w.join(caller(0)), w.join(ClientSetup::caller("bob")), w.join(caller(2))];
    w.run_until("all get all", PATIENCE, |w| w.all_get_all(&all));
    w.publish(all[0], Publish::SCREEN);
    w.publish(all[1], Publish::SCREEN);
    w.until_all_get_all(&all);
});

story!(homeservers_may_lose_repeat_and_reorder, bad_post(), |w| {
    let all = w.join_many(3, caller);
    until_all_call(w, &all);
    w.run_secs(1);
    w.reset_counts();
    w.run_secs(30);
    w.assert_undisturbed(&all, &all, Duration::from_millis(300));
    assert!(all.iter().all(|client| w.clients[*client].lives == 1), "nobody joined twice");
});

story!(the_channel_works_over_a_lossy_path, Setup::over(Path::lossy(0.05)), |w| {
    let all = w.join_many(2, caller);
    until_all_call(w, &all);
    w.publish(all[0], Publish::SCREEN);
    w.run_until("the screen comes", PATIENCE, |w| w.all_get_all(&all));
});

story!(few messages_larger_than_a_frame_go_both_ways, Setup::default(), |w| {
    // As many m-lines as there may be, one being the channel's, and an answer with as many.
    let alice = w.join(ClientSetup { slots: (126, 127), ..caller(0) });
    let bob = w.join(caller(1));
    until_all_call(w, &[alice, bob]);
    w.run_until("answered", PATIENCE, |w| w.clients[alice].slots.slots.iter().all(|slot| slot.mid.is_some()));
    let (sent, got) = w.clients[alice].carriage.largest;
    assert!(sent.min(got) > 4 * PART_BYTES_MAX, "{sent} and {got} bytes are no test");
    assert!(w.clients[alice].view.errors.is_empty());
});

story!(the_path_breaks_for_a_while, Setup::default(), |w| {
    let all = w.join_many(2, caller);
    until_all_call(w, &all);
    w.black_out(all[1], Duration::from_secs(8));
    w.run_secs(8);
    w.run_until("it goes on", PATIENCE, |w| w.all_get_all(&all));
    assert!(w.clients[all[0]].view.left.is_empty());
    assert_eq!(w.clients[all[1]].lives, 1);
});

// The network changes, so that the channel is dead; the session is taken up over to-device messages, which carry the ICE
// restart, and goes on over the channel.
story!(ice_restarts_over_to_device_messages, Setup::default(), |w| {
    let all = w.join_many(2, caller);
    until_all_call(w, &all);
    w.run_secs(1);
    w.reset_counts();
    w.change_network(all[1], true);
    w.with(all[1], |client, now| client.handle_closed(now, None));
    w.run_until("it is back on its channel", PATIENCE, |w| {
        w.clients[all[1]].carriage.links == 2 && all_over_channels(w, &all) && w.all_get_all(&all)
    });
    w.publish(all[1], Publish::SCREEN);
    w.run_until("it can still negotiate", PATIENCE, |w| w.all_get_all(&all));
    assert!(w.clients[all[0]].view.left.is_empty(), "{:?}", w.clients[all[0]].view.left);
    assert_eq!(w.clients[all[1]].lives, 1);
});

story!(a_client_that_vanishes_is_lost_in_time, Setup::default(), |w| {
    let all = w.join_many(2, caller);
    until_all_call(w, &all);
    w.vanish(all[1]);
    w.run_secs(62);
    assert_eq!(w.clients[all[0]].view.left.len(), 1);
});
