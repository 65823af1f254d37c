//! What was delivered to whom and when, without anything that str0m draws at random for itself (SSRCs, mids, ICE and
//! STUN identifiers). One seed run twice gives one trace.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::client::RtpIn;
use crate::random::hash;

/// One packet that reached an application.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    pub at: Duration,
    /// Ordinal of the m-line.
    pub line: usize,
    pub sequence: u64,
    pub track: Option<String>,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: u64,
    /// (publisher, source, layer, frame, index), if it says so.
    pub what: Option<What>,
}

/// Which packet of whom: the same in every world, however it is set up.
pub type What = (u32, u8, u8, u32, u8);

/// All deliveries of a world, by client.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Trace {
    pub clients: Vec<Vec<Delivery>>,
}

impl Trace {
    pub(crate) fn record(&mut self, at: Duration, client: usize, packet: &RtpIn) {
        if self.clients.len() <= client {
            self.clients.resize(client + 1, Vec::new());
        }
        self.clients[client].push(Delivery {
            at,
            line: packet.line,
            track: packet.track.clone(),
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload: hash(&packet.payload),
            what: packet.read().map(|(c, _)| (c.publisher, c.source, c.layer, c.frame, c.index)),
        });
    }

    pub fn len(&self) -> usize {
        self.clients.iter().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where two traces first differ. What arrives at one instant has no order.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let sorted = |client: &Vec<Delivery>| {
            let mut client = client.clone();
            client.sort();
            client
        };
        for (client, (a, b)) in self.clients.iter().zip(&other.clients).enumerate() {
            let (a, b) = (sorted(a), sorted(b));
            if let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) {
                return Some(format!("client {client}, delivery {at}: {:?} / {:?}", a[at], b[at]));
            }
            if a.len() != b.len() {
                return Some(format!("client {client}: {} / {} deliveries", a.len(), b.len()));
            }
        }
        (self.clients.len() != other.clients.len()).then(|| "not the same number of clients".to_owned())
    }

    /// The packets that each client got, whenever and by whatever way.
    pub fn packets(&self) -> Vec<BTreeSet<What>> {
        self.clients.iter().map(|client| client.iter().filter_map(|delivery| delivery.what).collect()).collect()
    }
}
