//! What a command prints: lines for people on stderr, one line of JSON as the last on stdout.

use serde::Serialize;

/// One run of `fanout`. Figures that could not be had are `null`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Fanout {
    pub command: &'static str,
    pub subscribers: usize,
    pub publishers: usize,
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
    /// Not to be seen from outside the process: `sfu-bench engine` counts them.
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
    pub allocations_per_packet: f64,
    pub allocated_bytes_per_packet: f64,
    pub datagrams_per_transmit: f64,
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
