//! Reads room events, one JSON object per line, and says who joins and leaves the call:
//!
//! ```text
//! cargo run -p matrixrtc --example who_is_in_the_call [file]
//! ```
//!
//! Without a file it tells a small story of its own. Lines are events as `/sync` gives them. Time is that of the events.

use std::io::{self, BufRead, BufReader};
use std::time::{Duration, Instant};

use matrixrtc::session::{Options, Output};
use matrixrtc::{Change, RoomEvent, Session, Timestamp, focus_selection};

const STORY: &str = r#"
{"type":"m.room.member","event_id":"$1","sender":"@alice:example.org","state_key":"@alice:example.org","origin_server_ts":1750000000000,"content":{"membership":"join"}}
{"type":"m.room.member","event_id":"$2","sender":"@bob:example.net","state_key":"@bob:example.net","origin_server_ts":1750000001000,"content":{"membership":"join"}}
{"type":"org.matrix.msc3401.call.member","event_id":"$3","sender":"@alice:example.org","state_key":"_@alice:example.org_PHONE_m.call","origin_server_ts":1750000010000,"content":{"application":"m.call","call_id":"","scope":"m.room","device_id":"PHONE","expires":14400000,"focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[],"org.rust_sfu.transports":[{"type":"rust_sfu","url":"wss://sfu.example.org/rtc/v1"}]}}
{"type":"org.matrix.msc4143.rtc.member","event_id":"$4","sender":"@bob:example.net","origin_server_ts":1750000020000,"msc4354_sticky":{"duration_ms":3600000},"content":{"slot_id":"m.call#ROOM","msc4354_sticky_key":"b1","member":{"id":"b1","user_id":"@bob:example.net","device_id":"DESKTOP"},"application":{"type":"m.call"},"transports":{"published":[{"type":"rust_sfu","url":"wss://sfu.example.net/rtc/v1"}],"can_subscribe":["rust_sfu"]},"versions":[]}}
{"type":"org.matrix.msc3401.call.member","event_id":"$5","sender":"@mallory:example.com","state_key":"_@alice:example.org_PHONE_m.call","origin_server_ts":1750000030000,"content":{}}
{"type":"org.matrix.msc3401.call.member","event_id":"$6","sender":"@alice:example.org","state_key":"_@alice:example.org_PHONE_m.call","origin_server_ts":1750000040000,"content":{}}
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lines: Vec<String> = match std::env::args().nth(1) {
        Some(file) => BufReader::new(std::fs::File::open(file)?).lines().collect::<io::Result<_>>()?,
        None => STORY.lines().map(str::to_owned).collect(),
    };
    let mut call: Option<Call> = None;
    for line in lines.iter().filter(|line| !line.trim().is_empty()) {
        let event = match RoomEvent::from_json(&serde_json::from_str(line)?) {
            Ok(event) => event,
            Err(error) => {
                println!("skipped: {error}");
                continue;
            }
        };
        let call = call.get_or_insert_with(|| Call::new(event.sent_at));
        call.pass_to(event.sent_at);
        call.session.handle_event(call.now, &event);
        call.drain();
    }
    if let Some(mut call) = call {
        println!("… and when nobody says anything more:");
        call.pass_to(call.wall.plus(Duration::from_secs(24 * 60 * 60)));
        println!("refused: {:?}", call.session.counters().refused);
    }
    Ok(())
}

/// A driver: it knows the time, and calls the session when it wants to be called.
struct Call {
    session: Session,
    now: Instant,
    wall: Timestamp,
    deadline: Option<Instant>,
}

impl Call {
    #[expect(clippy::disallowed_methods, reason = "an example does its own IO, and a clock is IO")]
    fn new(wall: Timestamp) -> Self {
        let now = Instant::now();
        Self { session: Session::new(Options::default(), now, wall), now, wall, deadline: None }
    }

    fn pass_to(&mut self, wall: Timestamp) {
        let end = self.now + wall.since(self.wall);
        while let Some(deadline) = self.deadline.filter(|deadline| *deadline <= end) {
            self.wall = self.wall.plus(deadline - self.now);
            self.now = deadline;
            self.session.handle_timeout(deadline);
            self.drain();
        }
        (self.now, self.wall) = (end, self.wall.plus(end - self.now));
    }

    fn drain(&mut self) {
        loop {
            match self.session.poll_output() {
                Output::Changed(Change::Joined(member)) => {
                    println!("{} joins with {}, by a {:?} event", member.key.user, member.key.device, member.form);
                    self.tell_foci();
                }
                Output::Changed(Change::Left { membership, reason, .. }) => {
                    println!("{} leaves: {reason:?}", membership.key.user);
                    self.tell_foci();
                }
                Output::Changed(Change::Updated { now, .. }) => println!("{} is renewed", now.key.user),
                Output::Lookup(user) => println!("(is {user} in the room?)"),
                Output::Overwritten => {}
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }

    fn tell_foci(&self) {
        let members = self.session.members();
        let foci = focus_selection::foci(&members);
        println!("    {} in the call, over {} foci", members.len(), foci.len());
    }
}
