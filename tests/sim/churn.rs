//! Many come, many go; nothing is left behind.

use std::time::Duration;

use sfu_testkit::random::Random;
use sfu_testkit::{ClientSetup, Publish, Setup, Wants, World};

use crate::story;

/// One who comes with little, so that three hundred of them are bearable.
fn guest(number: usize) -> ClientSetup {
    let publish = if number.is_multiple_of(8) { vec![Publish::CAMERA_SINGLE] } else { vec![Publish::MICROPHONE] };
    ClientSetup::caller(&format!("guest {number}")).publishing(&publish).wanting(Wants::All { width: 320, height: 180 })
}

fn churn(w: &mut World) {
    let mut random = Random::stream(w.seed, &[0xc4]);
    let mut present: Vec<usize> = Vec::new();
    for number in 0..300 {
        let conference = 1 + random.below(3) as u32;
        present.push(w.join(guest(number).in_conference(conference)));
        w.run_for(Duration::from_millis(random.below(120)));
        while present.len() > 6 {
            let gone = present.swap_remove(random.below(present.len() as u64) as usize);
            match random.below(8) {
                0 => w.crash(gone),
                1 => w.vanish(gone),
                2 => w.with(gone, |client, _| client.hang_up()),
                _ => w.leave(gone),
            }
        }
    }
    for client in present {
        w.leave(client);
    }
    // 30 s until those who vanished are held to be silent, and as long until their sessions end.
    w.run_secs(75);
    for client in 0..w.clients.len() {
        w.clients[client].die();
    }
    w.run_secs(75);
    w.assert_empty(0);
    // The ids of used tokens expire with their tokens.
    w.run_secs(300);
    assert_eq!(w.foci[0].gauges().used_tokens, 0);
    assert_eq!(w.foci[0].control.counters().joins, 300);
}

story!(few three_hundred_come_and_go, Setup::default(), churn);

story!(few three_hundred_come_and_go_over_three_workers, Setup::workers(3, 2), churn);
