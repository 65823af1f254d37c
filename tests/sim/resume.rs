//! Sockets break; calls do not.

use std::time::Duration;

use focus_signaling::wire::Resume;
use sfu_testkit::{ClientSetup, Setup};

use crate::story;

fn caller(ordinal: usize) -> ClientSetup {
    ClientSetup {
        resumes_after: Some(Duration::from_secs(10)),
        ..ClientSetup::caller(["alice", "bob", "carol"][ordinal])
    }
}

story!(nothing_is_lost_while_a_socket_is, Setup::default(), |w| {
    let all = w.join_many(3, caller);
    w.until_all_get_all(&all);
    w.run_secs(1);
    w.reset_counts();
    w.cut_socket(all[1]);
    w.run_secs(9);
    assert_eq!(w.clients[all[1]].view.resumes, 0);
    w.run_secs(4);
    assert_eq!(w.clients[all[1]].view.resumes, 1);
    w.assert_undisturbed(&all, &all, Duration::from_millis(200));
    // The checkers have seen that not a sequence number is missing. Nobody was told that anybody left.
    assert!(all.iter().all(|client| w.clients[*client].view.left.is_empty()));
    assert_eq!(w.checkers.totals.missing, 0);
    assert_eq!(w.clients[all[1]].lives, 1);
});

story!(a_wrong_secret_is_refused, Setup::default(), |w| {
    let all = w.join_many(2, caller);
    w.until_all_get_all(&all);
    w.cut_socket(all[1]);
    let resume = w.clients[all[1]].signal.resume.as_mut().expect("a session to resume");
    resume.secret = "A".repeat(resume.secret.len());
    w.with(all[1], |client, _| client.resume());
    w.run_until("refused", Duration::from_secs(2), |w| w.clients[all[1]].view.closed == Some(4401));
    assert!(w.clients[all[1]].view.has_error("M_UNAUTHORIZED"));
    assert_eq!(w.clients[all[0]].view.left, [], "whoever guesses must not end the session");
});

story!(a_secret_is_good_once, Setup::default(), |w| {
    let all = w.join_many(2, caller);
    w.until_all_get_all(&all);
    let used = w.clients[all[1]].signal.resume.clone().expect("a session to resume");
    w.cut_socket(all[1]);
    w.with(all[1], |client, _| client.resume());
    w.run_until("resumed", Duration::from_secs(2), |w| w.clients[all[1]].view.resumes == 1);
    // Somebody read the first secret off a log.
    let thief = w.add(ClientSetup::viewer("thief"));
    w.clients[thief].signal.resume = Some(used);
    w.with(thief, |client, _| client.resume());
    w.run_until("refused", Duration::from_secs(2), |w| w.clients[thief].view.closed == Some(4401));
    w.run_secs(1);
    assert!(w.clients[all[1]].signal.is_open());
    assert!(w.all_get_all(&all));
});

story!(after_thirty_seconds_it_is_too_late, Setup::default(), |w| {
    let late = |ordinal| ClientSetup { resumes_after: Some(Duration::from_secs(32)), ..caller(ordinal) };
    let all = w.join_many(2, late);
    w.until_all_get_all(&all);
    w.cut_socket(all[1]);
    w.run_secs(29);
    assert!(w.all_get_all(&all), "media goes on");
    assert_eq!(w.clients[all[0]].view.left.len(), 0);
    w.run_secs(2);
    assert_eq!(w.clients[all[0]].view.left.len(), 1);
    w.run_until("refused", Duration::from_secs(4), |w| w.clients[all[1]].view.closed == Some(4401));
    w.rejoin(all[1]);
    w.until_all_get_all(&all);
});

story!(what_happened_meanwhile_is_told, Setup::default(), |w| {
    let all = w.join_many(2, caller);
    w.until_all_get_all(&all);
    w.cut_socket(all[0]);
    w.run_secs(2);
    w.leave(all[1]);
    let carol = w.join(caller(2));
    w.run_secs(9);
    assert_eq!(w.clients[all[0]].view.resumes, 1);
    let names: Vec<_> = w.clients[all[0]].view.participants.values().map(|p| p.name.clone()).collect();
    assert_eq!(names, ["carol"]);
    w.until_all_get_all(&[all[0], carol]);
});

story!(a_session_nobody_has_cannot_be_resumed, Setup::default(), |w| {
    let thief = w.add(ClientSetup::viewer("thief"));
    w.clients[thief].signal.resume = Some(Resume { session: "A".repeat(22), secret: "A".repeat(43) });
    w.with(thief, |client, _| client.resume());
    w.run_until("refused", Duration::from_secs(2), |w| w.clients[thief].view.closed == Some(4401));
    w.run_secs(1);
    w.assert_empty(0);
});

story!(an_offer_that_was_on_its_way_is_made_again, Setup::default(), |w| {
    let hasty = |ordinal| ClientSetup { resumes_after: Some(Duration::from_millis(100)), ..caller(ordinal) };
    let all = w.join_many(2, hasty);
    w.until_all_get_all(&all);
    // The socket breaks when the offer has left and its answer has not come.
    w.publish(all[0], sfu_testkit::Publish::SCREEN);
    w.run_for(Duration::from_millis(1 + w.seed % 8 * 5));
    w.cut_socket(all[0]);
    w.until_all_get_all(&all);
    assert_eq!(w.foci[0].gauges().tracks, 5);
});
