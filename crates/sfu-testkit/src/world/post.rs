//! To-device messages: late, lost, twice, and in another order.

use std::time::Duration;

use focus_signaling::todevice::{Address, Content};

use super::{Event, World};

/// What happens to them on their way through homeservers.
#[derive(Debug, Clone, Copy)]
pub struct Post {
    pub delay: Duration,
    /// As much later at random.
    pub jitter: Duration,
    pub loss: f64,
    pub repeat: f64,
}

impl Default for Post {
    fn default() -> Self {
        Self { delay: Duration::from_millis(60), jitter: Duration::ZERO, loss: 0.0, repeat: 0.0 }
    }
}

impl World {
    /// The device of a client.
    pub fn device_of(&self, client: usize) -> Address {
        Address { user_id: self.clients[client].setup.identity.clone(), device_id: "D".into() }
    }

    /// A client's device sends an event to its focus. Olm vouches for the sender and for nothing else.
    pub fn post_to_focus(&mut self, client: usize, content: Content) {
        let (focus, from) = (self.homes[client], self.device_of(client));
        self.posted.push((client, content.clone()));
        for at in self.arrivals(client) {
            self.post(at, Event::FocusToDevice { focus, from: from.clone(), content: content.clone() });
        }
    }

    pub(super) fn post_to_client(&mut self, to: &Address, content: &Content) {
        let Some(client) = (0..self.clients.len()).find(|client| self.device_of(*client) == *to) else { return };
        for at in self.arrivals(client) {
            self.post(at, Event::ClientToDevice { client, content: content.clone() });
        }
    }

    fn arrivals(&mut self, client: usize) -> Vec<Duration> {
        let Post { delay, jitter, loss, repeat } = self.setup.post;
        if self.is_dark(client) || self.post_random.unit() < loss {
            return Vec::new();
        }
        let copies = if self.post_random.unit() < repeat { 2 } else { 1 };
        let jitter = jitter.as_micros() as u64;
        (0..copies).map(|_| self.now + delay + Duration::from_micros(self.post_random.below(jitter))).collect()
    }
}
