//! Who speaks.

use std::time::Duration;

use focus_signaling::wire::Source;
use sfu_testkit::{ClientSetup, Setup, World};

use crate::story;

fn loudest(w: &World, client: usize) -> Option<String> {
    w.clients[client].view.speakers.first().map(|speaker| speaker.participant.clone())
}

fn follow(w: &mut World) {
    let all = w.join_many(3, |ordinal| ClientSetup::caller(["alice", "bob", "carol"][ordinal]));
    w.until_all_get_all(&all);
    for speaker in [0, 2, 1, 0] {
        let me = w.clients[all[speaker]].view.me().to_owned();
        for (ordinal, client) in all.iter().enumerate() {
            let level = if ordinal == speaker { -20 } else { -127 };
            w.with(*client, |client, _| client.publisher(Source::Microphone).level = level);
        }
        let took = w.run_until("all know who speaks", Duration::from_secs(4), |w| {
            all.iter().all(|client| loudest(w, *client).as_ref() == Some(&me))
        });
        assert!(took < Duration::from_secs(2), "{took:?}");
        w.run_secs(2);
    }
    w.with(all[0], |client, _| client.publisher(Source::Microphone).level = -127);
    w.run_until("silence", Duration::from_secs(5), |w| all.iter().all(|client| loudest(w, *client).is_none()));
}

story!(speakers_follow_the_level_of_their_voices, Setup::default(), follow);

story!(speakers_on_several_workers_are_known_to_all, Setup::workers(3, 0), follow);
