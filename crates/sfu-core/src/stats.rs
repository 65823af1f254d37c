//! Cumulative counters of one engine. Plain numbers, copied out about once a second.

use crate::receive::ReceiveCounters;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// See the module. All only grow.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
            /// What peers received; told as counters of their own.
            pub receive: ReceiveCounters,
        }

        impl Counters {
            /// Name and value of each, in the order of their declaration.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                let receive = &self.receive;
                let of_receiver = [
                    ("packets_recovered", receive.recovered),
                    ("packets_malformed", receive.malformed),
                    ("packets_forged", receive.forged),
                    ("packets_replay_attacks", receive.replayed),
                    ("packets_retired", receive.retired),
                    ("packets_unassigned", receive.unassigned),
                    ("packets_unknown_codec", receive.unknown_payload),
                    ("packets_oversized", receive.oversized),
                    ("packets_duplicate", receive.duplicates),
                    ("packets_padding", receive.padding),
                    ("nacks_sent", receive.nacked),
                ];
                [$((stringify!($name), self.$name)),*].into_iter().chain(of_receiver)
            }
        }
    };
}

counters! {
    datagrams_received,
    /// Their source belongs to no peer here.
    datagrams_unknown,
    /// Neither STUN, DTLS, RTP nor RTCP.
    datagrams_junk,
    /// STUN, DTLS, RTP or RTCP that its peer could make nothing of.
    datagrams_refused,
    datagrams_sent,
    /// Sends, each of one or more datagrams.
    transmits,
    bytes_sent,
    /// RTP packets that were decrypted.
    packets_received,
    bytes_received,
    /// Copies of them that went to subscribers.
    packets_forwarded,
    bytes_forwarded,
    /// RTP on an m-line that carries no published track, or of no layer that was offered.
    packets_untracked,
    /// While their track was muted.
    packets_muted,
    /// Sent again because a subscriber asked, as RTX or as they were.
    packets_retransmitted,
    /// Packets of nothing but padding, to find out what a path carries.
    padding_sent,
    /// By subscribers, packet by packet.
    nacks_received,
    /// Asked for, but too old, or beyond what retransmission may cost.
    retransmissions_missed,
    /// The last key frame and what followed, from the ring, to one that joined or changed layers.
    packets_replayed,
    /// Left the ring before they were sent, or found a peer's queue full.
    packets_overtaken,
    /// Opened, but not well formed.
    rtcp_malformed,
    relays_sent,
    relays_received,
    /// For tracks that are not known (any more).
    relays_untracked,
    /// By subscribers.
    keyframe_requests_received,
    /// To publishers.
    keyframe_requests_sent,
    layer_switches,
    peers_connected,
    peers_closed,
    /// Peers lost to a bug of ours.
    panics,
    data_messages_received,
    data_messages_dropped,
    data_messages_sent,
}
