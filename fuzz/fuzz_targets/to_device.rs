//! What devices send the focus by to-device messages, and what comes on its data channels: any contents from any devices, in any order,
//! late and repeated; any bytes as frames.
//!
//! The input is records, separated by RS (0x1e), so that a seed is readable. A record is a content of the first device; behind `@1`
//! to `@3`, of another one; behind `@t` and a number, milliseconds that pass; behind `@f`, a message on the channel.

#![no_main]

use std::time::{Duration, Instant};

use focus_signaling::CloseCode;
use focus_signaling::channel::{self, Assembly, Channel, Frame, PART_BYTES_MAX, frames};
use focus_signaling::todevice::{
    Address, CONTENT_BYTES_MAX, Claims, Client, Content, DEVICES_MAX, LINKS_PER_DEVICE_MAX, Server, client, server,
};
use focus_signaling::wire::{ClientMessage, Hello, Limits};
use libfuzzer_sys::fuzz_target;

/// Larger than anything that one input can lead to.
const OUTPUTS_MAX: usize = 10_000;

fuzz_target!(|data: &[u8]| {
    let mut focus = Focus::new();
    for record in data.split(|byte| *byte == 0x1e).take(256) {
        match record {
            [b'@', b'f', frame @ ..] => focus.frame(frame),
            [b'@', b't', number @ ..] => {
                let number = String::from_utf8_lossy(number).parse().unwrap_or(1_u64);
                focus.wait(Duration::from_millis(number % 60_000));
            }
            [b'@', device @ b'1'..=b'3', json @ ..] => focus.content(*device, json),
            json => focus.content(b'0', json),
        }
    }
    // Whoever says no more is forgotten.
    focus.wait(Duration::from_secs(120));
    assert_eq!(focus.server.sizes().1, 0, "links");
});

struct Focus {
    now: Instant,
    server: Server,
    channel: Channel,
    client: Client,
    assembly: Assembly,
}

impl Focus {
    fn new() -> Self {
        let now = Instant::now();
        let claims = Claims { room_id: "!r:example.org".into(), slot_id: "m.call#ROOM".into(), member_id: "xyzABC".into() };
        Self {
            now,
            server: Server::new("F0c5sE1d".into()),
            channel: Channel::new(now, Limits::default()),
            client: Client::new(claims, "q7Jm2vXn0pR4sT6uW8yAbC".into()),
            assembly: Assembly::new(Limits::default().message_bytes),
        }
    }

    fn content(&mut self, device: u8, json: &[u8]) {
        let Ok(content) = Content::parse(&String::from_utf8_lossy(json)) else { return };
        let written = content.to_json();
        let again = Content::parse(&written).expect("what is written can be read");
        assert_eq!(again.to_json(), written);
        let from = Address { user_id: "@a:example.org".into(), device_id: char::from(device).into() };
        // Both ends get it: a member may mean harm, and so may a focus.
        self.client.handle_content(self.now, content.clone());
        self.server.handle_content(self.now, from, content, written.len());
        self.drain();
    }

    fn frame(&mut self, data: &[u8]) {
        self.channel.handle_data(self.now, data);
        if let Ok(Some(Frame::Text(text))) = self.assembly.handle_data(data) {
            assert!(text.len() <= Limits::default().message_bytes);
            let mut other = Assembly::new(text.len());
            let mut last = None;
            for frame in frames(&text) {
                assert!(frame.len() <= PART_BYTES_MAX + 1 && last.is_none());
                last = other.handle_data(&frame).expect("a frame");
            }
            assert!(text.is_empty() || last == Some(Frame::Text(text)));
        }
        self.drain();
    }

    fn wait(&mut self, time: Duration) {
        let target = self.now + time;
        while let Some(at) = self.drain().filter(|at| *at <= target) {
            self.now = at.max(self.now);
            self.server.handle_timeout(self.now);
            self.channel.handle_timeout(self.now);
            self.client.handle_timeout(self.now);
            assert!(self.drain().is_none_or(|next| next > self.now), "a deadline that is met must go");
        }
        self.now = target;
    }

    /// What is asked for is done; when to look again.
    fn drain(&mut self) -> Option<Instant> {
        let mut deadlines = [None; 3];
        let mut left = OUTPUTS_MAX;
        let mut outputs = || {
            left -= 1;
            assert!(left > 0, "outputs without end");
        };
        loop {
            outputs();
            match self.server.poll_output() {
                server::Output::Transmit { content, .. } => assert!(content.to_json().len() <= CONTENT_BYTES_MAX),
                server::Output::Join { link, id, claims, .. } => match claims.member_id.len() % 2 {
                    0 => {
                        let hello = Hello { v: 1, token: Some("t".into()), resume: None, client: None };
                        self.server.admit(link, id, ClientMessage::Hello(hello));
                    }
                    _ => self.server.close(self.now, link, CloseCode::Forbidden),
                },
                server::Output::Request { message, .. } => {
                    assert!(!matches!(message, ClientMessage::Subscribe(_) | ClientMessage::Announce(_)));
                }
                server::Output::Closed { .. } => {}
                server::Output::Timeout(at) => break deadlines[0] = at,
            }
        }
        let (devices, links) = self.server.sizes();
        assert!(devices <= DEVICES_MAX && links <= devices * LINKS_PER_DEVICE_MAX);
        loop {
            outputs();
            match self.channel.poll_output() {
                channel::Output::Timeout(at) => break deadlines[1] = at,
                channel::Output::Data(data) => assert!(data.len() <= PART_BYTES_MAX + 1),
                _ => {}
            }
        }
        loop {
            outputs();
            if let client::Output::Timeout(at) = self.client.poll_output() {
                break deadlines[2] = at;
            }
        }
        deadlines.into_iter().flatten().min()
    }
}
