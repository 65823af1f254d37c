//! What the engine carries on the signalling data channel, whatever it is.

use std::time::Duration;

use sfu_core::{Command, Event};
use sfu_testkit::{ClientSetup, Path, Setup, World};

use crate::story;

fn with_channel(name: &str) -> ClientSetup {
    ClientSetup { data_channel: true, ..ClientSetup::caller(name) }
}

fn heard(w: &World) -> Vec<Vec<u8>> {
    let data = |event: &Event| if let Event::Data { data, .. } = event { Some(data.clone()) } else { None };
    w.foci[0].seen.iter().filter_map(|(_, event)| data(event)).collect()
}

/// SCTP doubles its timer with each loss in a row (RFC 9260 §6.3.3), from 1 s up to 60 s, and str0m draws its tags from its
/// own randomness: now and then a seed meets four losses in a row.
const PATIENCE: Duration = Duration::from_secs(400);

fn both_ways(w: &mut World) {
    let [a, b] = [w.join(with_channel("alice")), w.join(ClientSetup::caller("bob"))];
    w.run_until("it opens", PATIENCE, |w| w.clients[a].data_open);
    let mut sent = Vec::new();
    // From 100 on they are no frames, and nobody answers them.
    for n in 100..120u8 {
        let message = vec![n; 1 + usize::from(n - 100) * 150];
        w.with(a, |client, now| client.send_data(now, &message));
        sent.push(message.clone());
        let peer = w.peer_of(a);
        w.command(0, 0, Command::SendData { peer, data: message });
        w.run_for(Duration::from_millis(20));
    }
    w.run_until("all came", PATIENCE, |w| w.clients[a].data.len() == 20 && heard(w).len() == 20);
    assert_eq!(w.clients[a].data, sent);
    assert_eq!(heard(w), sent);
    w.until_all_get_all(&[a, b]);
}

story!(messages_go_both_ways_in_order, Setup::default(), both_ways);

story!(messages_survive_loss, Setup::over(Path { loss: 0.1, reorder: 0.05, ..Path::default() }), both_ways);
