//! What a command prints: lines for people on stderr, one line of JSON as the last on stdout.

use serde::Serialize;

/// One run of `fanout`. Figures that could not be had are `null`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Fanout {
    pub command: &'static str,
    pub subscribers: usize,
    pub publishers: usize,
    /// Subscriptions of each receiver to tracks that send nothing.
    pub idle_streams: usize,
    pub audio: bool,
    pub size: usize,
    pub size_jitter: usize,
    pub duration_s: f64,
    /// Valid runs; this one is the median of them by `ns_per_forwarded_packet`.
    pub runs: usize,
    /// Server CPU (user and system, everything it did in that time) by packets that arrived.
    pub ns_per_forwarded_packet: Option<f64>,
    pub user_ns: Option<f64>,
    pub system_ns: Option<f64>,
    pub limit_ns: Option<f64>,
    pub ratio: Option<f64>,
    /// From the publisher's stamp to the receiver's read: includes both ends of the load.
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    /// Resident memory of the server by connected peers that carry no media yet.
    pub bytes_per_peer: Option<f64>,
    /// What came on top by the end of the run, by subscriptions.
    pub bytes_per_subscription: Option<f64>,
    /// WebSocket request to the first media packet decrypted, median of probes.
    pub join_ms: Option<f64>,
    /// WebSocket request to DTLS up, median of probes.
    pub connect_ms: Option<f64>,
    /// Of the engine, linked into the harness, with the same call: from receipt to send of RTP.
    pub allocations_per_packet: Option<f64>,
    pub delivered: u64,
    pub expected: u64,
    /// Share of a core with everybody connected and nothing sent.
    pub idle_core_share: Option<f64>,
    /// Share of a core while it forwarded.
    pub core_share: Option<f64>,
    pub keyframe_requests: u64,
    pub cipher: String,
    /// Extremes of `ns_per_forwarded_packet` and `ratio` over the valid runs: how noisy it was.
    pub ns_min: Option<f64>,
    pub ns_max: Option<f64>,
    pub ratio_min: Option<f64>,
    pub ratio_max: Option<f64>,
}

/// `idle`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Idle {
    pub command: &'static str,
    pub peers: usize,
    pub duration_s: f64,
    pub core_share: Option<f64>,
    pub us_per_peer_second: Option<f64>,
    pub bytes_per_peer: Option<f64>,
    pub connect_ms_p50: Option<f64>,
    pub server_bytes_empty: Option<u64>,
}

/// `latency`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Latency {
    pub command: &'static str,
    pub subscribers: usize,
    pub publishers: usize,
    pub audio: bool,
    pub size: usize,
    pub core_share_wanted: f64,
    pub core_share: Option<f64>,
    /// With the kernel's stamping in it.
    pub ns_per_forwarded_packet: Option<f64>,
    /// From the publisher's stamp to the receiver's socket.
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub p999_us: Option<f64>,
    /// How long packets then waited to be read by the load: not in the figures above.
    pub load_wait_p50_us: Option<f64>,
    pub samples: usize,
    pub delivered: u64,
    pub expected: u64,
}

/// `storm`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Storm {
    pub command: &'static str,
    pub subscribers: usize,
    /// Until the last WebSocket request went out.
    pub asked_within_s: Option<f64>,
    pub all_have_media_after_s: f64,
    /// That reached the publisher.
    pub keyframe_requests: u64,
    /// Frames that the publisher sent meanwhile: how long the storm lasted, in its terms.
    pub publisher_frames: u64,
    /// WebSocket request to the first packet decrypted.
    pub join_ms_p50: Option<f64>,
    pub join_ms_p99: Option<f64>,
    pub connect_ms_p50: Option<f64>,
    /// Forwarding to those that are there already is in it.
    pub server_cpu_ms_per_join: Option<f64>,
}

/// `churn`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Churn {
    pub command: &'static str,
    pub joins: usize,
    pub at_once: usize,
    pub joins_per_second: f64,
    pub bytes_start: u64,
    pub bytes_end: u64,
    /// 0.05: five per cent more than at the start.
    pub memory_growth: f64,
    pub descriptors_start: u64,
    pub descriptors_end: u64,
    pub threads_start: u64,
    pub threads_end: u64,
    /// Sessions, participants, conferences, tracks and subscriptions that the server counts, in sum.
    pub gauges_start: f64,
    pub gauges_end: f64,
}

/// `peers`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Peers {
    pub command: &'static str,
    pub subscribers: usize,
    /// Theirs by ours, medians, of video and of audio. `null`: not measured.
    pub janus_ratio: Option<f64>,
    pub janus_audio_ratio: Option<f64>,
    pub livekit_ratio: Option<f64>,
    pub livekit_audio_ratio: Option<f64>,
    /// Not installed.
    pub skipped: Vec<&'static str>,
    pub rows: Vec<PeerRow>,
}

/// One server under one load: its median run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PeerRow {
    pub load: &'static str,
    pub server: &'static str,
    pub version: String,
    pub runs: usize,
    pub ns_per_forwarded_packet: f64,
    pub user_ns: Option<f64>,
    pub system_ns: Option<f64>,
    pub ns_min: f64,
    pub ns_max: f64,
    pub core_share: Option<f64>,
    pub delivered: u64,
    pub expected: u64,
    /// By ours.
    pub ratio: f64,
}

/// `limit`.
#[derive(Debug, Clone, Serialize)]
pub struct Limit {
    pub command: &'static str,
    pub subscribers: usize,
    pub publishers: usize,
    pub audio: bool,
    pub size: usize,
    pub cipher: String,
    pub limit_ns: f64,
    pub limit_min: f64,
    pub limit_max: f64,
}

/// `engine`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Engine {
    pub command: &'static str,
    pub subscribers: usize,
    pub publishers: usize,
    pub audio: bool,
    pub size: usize,
    pub duration_s: f64,
    pub runs: usize,
    /// Thread CPU from receive to send, feedback and timers included, without sockets.
    pub ns_per_forwarded_packet: f64,
    /// From receipt to send of RTP.
    pub allocations_per_packet: f64,
    pub allocated_bytes_per_packet: f64,
    /// Of feedback (RTCP, STUN, DTLS), by forwarded packets.
    pub feedback_allocations_per_packet: f64,
    /// Of what the clock causes and sends no media, by forwarded packets.
    pub timer_allocations_per_packet: f64,
    pub datagrams_per_transmit: f64,
    /// Forwarded in the measured ticks.
    pub packets: u64,
    pub delivered: u64,
    pub expected: u64,
    pub ns_min: f64,
    pub ns_max: f64,
}

/// Prints the last line.
pub fn print(report: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(report)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts and the scoreboard read these names.
    #[test]
    fn the_names_of_the_fields_are_fixed() {
        let report = Fanout { command: "fanout", ..Fanout::default() };
        let value = serde_json::to_value(&report).expect("JSON");
        let keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
        for promised in [
            "ns_per_forwarded_packet",
            "limit_ns",
            "ratio",
            "p50_us",
            "p99_us",
            "bytes_per_peer",
            "bytes_per_subscription",
            "join_ms",
            "allocations_per_packet",
            "delivered",
            "expected",
        ] {
            assert!(keys.contains(&promised), "{promised}");
        }
        assert!(value["allocations_per_packet"].is_null(), "absent figures are null, not zero");
        assert!(!serde_json::to_string(&report).expect("JSON").contains('\n'));
    }
}
