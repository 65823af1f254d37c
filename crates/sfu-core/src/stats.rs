//! Cumulative counters of one engine. Plain numbers, copied out about once a second.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// See the module. All only grow.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Name and value of each, in the order of their declaration.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
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
    /// Larger than any real packet.
    packets_oversized,
    /// Of a codec that was not negotiated.
    packets_unknown_codec,
    /// While their track was muted.
    packets_muted,
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
