//! The focus's own media half: repair, numbers that wrap, the ring that spares key-frame requests, bandwidth, and RTCP
//! that means harm.

mod bandwidth;
mod hostile_rtcp;
mod repair;
mod replay;
mod retransmission;
mod rollover;

use std::time::Duration;

use focus_signaling::wire::{Kind, Source};
use sfu_testkit::{ClientSetup, Node, World};

/// Facts of an RTP header, which SRTP leaves in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
}

fn seen(datagram: &[u8]) -> Option<Seen> {
    let [first, kind, a, b, _, _, _, _, ssrc @ ..] = datagram else { return None };
    let rtp = first >> 6 == 2 && !(192..224).contains(kind);
    let ssrc = u32::from_be_bytes(*ssrc.first_chunk()?);
    rtp.then_some(Seen { payload_type: kind & 0x7f, ssrc, sequence: u16::from_be_bytes([*a, *b]) })
}

/// The RTP that a focus sent to a tapped client under the payload type of its first codec of a kind.
fn sent(w: &mut World, client: usize, kind: Kind) -> Vec<(Seen, Vec<u8>)> {
    let payload_type = w.clients[client].payload_type(kind);
    let tapped = w.tapped(client).into_iter().filter_map(|(_, bytes)| Some((seen(&bytes)?, bytes)));
    tapped.filter(|(seen, _)| seen.payload_type == payload_type).collect()
}

/// One RTCP packet: `count` in the five bits, `kind`, and a length that fits the body.
fn rtcp(count: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80 | count, kind];
    packet.extend(((body.len() / 4) as u16).to_be_bytes());
    packet.extend(body);
    packet
}

/// Words, as they stand in a packet.
fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A NACK (RFC 4585 §6.2.1) for pairs of a number and a mask of those behind it.
fn nack(ssrc: u32, pairs: &[(u16, u16)]) -> Vec<u8> {
    let pairs: Vec<u32> = pairs.iter().map(|(first, mask)| u32::from(*first) << 16 | u32::from(*mask)).collect();
    rtcp(1, 205, &words(&[&[ME, ssrc], &pairs[..]].concat()))
}

/// The sender of a story's own RTCP. No stack has it.
const ME: u32 = 0x0bad_cafe;

/// alice, who publishes microphone and camera, and bob, who gets them.
fn pair(w: &mut World) -> (usize, usize) {
    let (a, b) = (w.join(ClientSetup::caller("alice")), w.join(ClientSetup::viewer("bob")));
    w.run_until("bob sees and hears", Duration::from_secs(3), |w| {
        w.gets(b, a, Source::Camera) && w.gets(b, a, Source::Microphone)
    });
    w.run_secs(1);
    (a, b)
}

/// Key-frame requests that have reached a publisher.
fn requests(w: &mut World, publisher: usize) -> u64 {
    w.with(publisher, |client, _| client.publisher(Source::Camera).requests)
}

/// Of the pictures of `from` that `to` was sent since `since`: those with all of their packets, and all.
fn pictures(w: &World, to: usize, from: usize, since: Duration) -> (usize, usize) {
    let mut frames = std::collections::BTreeMap::new();
    let deliveries = w.trace.clients.get(to).into_iter().flatten().filter(|delivery| delivery.at >= since);
    for delivery in deliveries {
        // The camera is a caller's second source.
        if let Some((publisher, 1, layer, frame, index)) = delivery.what
            && publisher as usize == from
        {
            let entry: &mut (u32, Option<u8>) = frames.entry((layer, frame)).or_default();
            entry.0 |= 1 << index;
            entry.1 = entry.1.or(delivery.marker.then_some(index));
        }
    }
    let whole = frames.values().filter(|(have, last)| last.is_some_and(|last| *have == (1 << (last + 1)) - 1));
    (whole.count(), frames.len())
}

/// What was lost on the way to a client.
fn lost_to(w: &World, client: usize) -> u64 {
    w.network.tally_of(Node::Focus(0), Node::Client(client)).lost
}
