//! What was delivered to whom and when, without anything that str0m draws at random for itself (SSRCs, mids, ICE and
//! STUN identifiers). One seed run twice gives one trace.

use std::time::Duration;

use crate::client::RtpIn;
use crate::random::hash;

/// One packet that reached an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub at: Duration,
    /// Ordinal of the m-line.
    pub line: usize,
    pub track: Option<String>,
    pub sequence: u64,
    pub timestamp: u32,
    pub payload: u64,
}

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
            payload: hash(&packet.payload),
        });
    }

    pub fn len(&self) -> usize {
        self.clients.iter().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where two traces first differ.
    pub fn difference(&self, other: &Self) -> Option<String> {
        for (client, (a, b)) in self.clients.iter().zip(&other.clients).enumerate() {
            if let Some(at) = a.iter().zip(b).position(|(a, b)| a != b) {
                return Some(format!("client {client}, delivery {at}: {:?} / {:?}", a[at], b[at]));
            }
            if a.len() != b.len() {
                return Some(format!("client {client}: {} / {} deliveries", a.len(), b.len()));
            }
        }
        (self.clients.len() != other.clients.len()).then(|| "not the same number of clients".to_owned())
    }

    /// The set of payloads that each client got, whatever the path there: to compare worlds that are set up differently.
    pub fn payloads(&self) -> Vec<std::collections::BTreeSet<u64>> {
        self.clients.iter().map(|client| client.iter().map(|delivery| delivery.payload).collect()).collect()
    }
}
