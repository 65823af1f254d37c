//! Whose frames do not open, and when they are asked for the key (`matrixrtc::keys::asker`).

use std::collections::BTreeSet;
use std::time::Instant;

use matrixrtc::event::key_request;
use matrixrtc::keys::Participant;
use matrixrtc::keys::asker::{Asker, Output};
use matrixrtc::{MemberKey, Session};

use super::directory::Directory;

/// See the module.
#[derive(Debug, Default)]
pub struct Asking {
    asker: Asker,
    /// By number of the sender, as the ring has it.
    closed: BTreeSet<u32>,
}

impl Asking {
    /// Whose frames do not open now.
    pub fn handle_closed(&mut self, now: Instant, closed: BTreeSet<u32>, session: &Session, directory: &Directory) {
        self.closed = closed;
        self.tell(now, session, directory);
    }

    pub fn handle_members(&mut self, now: Instant, all: &[Participant], session: &Session, directory: &Directory) {
        self.asker.handle_members(all);
        // One who joined again is another member, and his frames may have been closed before.
        self.tell(now, session, directory);
    }

    /// Whom to ask now, and when to look again.
    pub fn poll(&mut self, now: Instant) -> (Vec<MemberKey>, Option<Instant>) {
        self.asker.handle_timeout(now);
        let mut asked = Vec::new();
        loop {
            match self.asker.poll_output() {
                Output::Ask(member) => asked.push(member),
                Output::Timeout(at) => return (asked, at),
            }
        }
    }

    fn tell(&mut self, now: Instant, session: &Session, directory: &Directory) {
        for member in session.members().into_iter().filter(|member| key_request::is_known_to(member)) {
            let is_closed = directory.person(&member.key.user).is_some_and(|person| self.closed.contains(&person));
            self.asker.handle_lacking(now, &member.key, is_closed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use matrixrtc::keys::asker::{ASK_AFTER, ASKS_MAX};
    use matrixrtc::session::Options;
    use matrixrtc::{RoomEvent, Timestamp};
    use serde_json::json;

    use super::*;

    /// Alice, who is person 0, in a call over `transport`.
    fn setting(transport: serde_json::Value, now: Instant) -> (Session, Directory) {
        let (user, wall) = ("@alice:x", 1_750_000_000_000_u64);
        let mut session = Session::new(Options::default(), now, Timestamp::from_millis(wall));
        let event = |kind: &str, state_key: &str, content| json!({"type": kind, "event_id": format!("${kind}"), "sender": user, "state_key": state_key, "origin_server_ts": wall, "content": content});
        let member = json!({
            "application": "m.call", "call_id": "", "scope": "m.room", "device_id": "A", "foci_preferred": [],
            "focus_active": {"type": "livekit", "focus_selection": "multi_sfu"}, "org.rust_sfu.transports": [transport],
        });
        let events = [
            event("m.room.member", user, json!({"membership": "join"})),
            event("org.matrix.msc3401.call.member", "_@alice:x_A_m.call", member),
        ];
        for event in events {
            session.handle_event(now, &RoomEvent::from_json(&event).expect("an event"));
        }
        assert_eq!(session.members().len(), 1);
        let directory = Directory::default();
        directory.add(&session.members()[0].key.user, 0);
        (session, directory)
    }

    /// How often who is asked in the next ten minutes.
    fn asks(asking: &mut Asking, mut now: Instant) -> Vec<String> {
        let (mut asked, end) = (Vec::new(), now + Duration::from_secs(600));
        loop {
            let (members, at) = asking.poll(now);
            asked.extend(members.into_iter().map(|member| member.user.to_string()));
            match at {
                Some(at) if at < end => now = at,
                _ => return asked,
            }
        }
    }

    #[test]
    fn who_sends_what_does_not_open_is_asked_a_few_times() {
        let now = Instant::now();
        let (session, directory) = setting(json!({"type": "rust_sfu", "url": "wss://a"}), now);
        let mut asking = Asking::default();
        asking.handle_closed(now, [0].into(), &session, &directory);
        assert_eq!(asking.poll(now), (vec![], Some(now + ASK_AFTER)), "the key may be on its way");
        assert_eq!(asks(&mut asking, now), vec!["@alice:x"; ASKS_MAX as usize]);
    }

    #[test]
    fn nobody_is_asked_once_it_opens_or_if_it_does_not_know_the_question() {
        let now = Instant::now();
        let (session, directory) = setting(json!({"type": "rust_sfu", "url": "wss://a"}), now);
        let mut asking = Asking::default();
        asking.handle_closed(now, [0].into(), &session, &directory);
        asking.handle_closed(now + ASK_AFTER / 2, BTreeSet::new(), &session, &directory);
        assert_eq!(asks(&mut asking, now), Vec::<String>::new());
        let (session, directory) = setting(json!({"type": "livekit", "livekit_service_url": "https://a"}), now);
        asking.handle_closed(now, [0].into(), &session, &directory);
        assert_eq!(asks(&mut asking, now), Vec::<String>::new());
    }
}
