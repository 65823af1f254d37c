//! All metrics, in one place. Values are copied out of the machines' own counters when somebody asks; workers refresh
//! theirs once a second. No label names a person, a room or an address. `docs/operating.md` lists them, and a test
//! compares.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, Level, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::control::ControlStats;
use crate::worker::{DriverCounters, WorkerStats};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric: its name carries its unit.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
}

macro_rules! metrics {
    ($($id:ident $kind:ident $name:literal $help:literal;)*) => {
        $(const $id: Metric = Metric { name: $name, kind: Kind::$kind, help: $help };)*
        /// Every metric there is.
        pub(crate) const ALL: &[&Metric] = &[$(&$id),*];
    };
}

metrics! {
    BUILD Gauge "sfu_build_info" "Always 1; the label says which version runs.";
    SESSIONS Gauge "sfu_sessions" "Signalling sessions, with those that wait to be resumed.";
    PARTICIPANTS Gauge "sfu_participants" "Participants that are in a conference.";
    CONFERENCES Gauge "sfu_conferences" "Conferences with at least one participant.";
    TRACKS Gauge "sfu_tracks" "Published tracks.";
    SUBSCRIPTIONS Gauge "sfu_subscriptions" "Subscriptions to tracks.";
    JOINS Counter "sfu_joins_total" "Participants that were let in.";
    RESUMES Counter "sfu_resumes_total" "Sessions that were resumed on a new socket.";
    REFUSALS Counter "sfu_refusals_total" "Clients that were not let in, by reason.";
    LEAVES Counter "sfu_leaves_total" "Participants that are gone, by reason.";
    OFFERS Counter "sfu_offers_total" "Negotiations.";
    REQUEST_ERRORS Counter "sfu_request_errors_total" "Requests of clients that were answered by an error.";
    LATE_MESSAGES Counter "sfu_late_messages_total" "Messages of clients whose session had ended meanwhile.";
    COMMAND_FAILURES Counter "sfu_command_failures_total" "Commands that a worker did not do although they should be possible.";
    REMOVALS Counter "sfu_matrix_removals_total" "Persons removed from calls because they are no longer in the room.";
    MATRIX_TOKENS Counter "sfu_matrix_token_requests_total" "Requests of Matrix users for tokens, by what they came to.";
    MATRIX_CHECKS Counter "sfu_matrix_membership_checks_total" "Questions whether somebody in a call is still in its room: answered, and unanswered.";
    MATRIX_WATCHED Gauge "sfu_matrix_watched" "Persons in rooms that are asked about.";
    MATRIX_STALE Gauge "sfu_matrix_watched_stale" "Of these, those of whom nothing was heard for 10 s: removals are not seen.";
    HOMESERVERS Gauge "sfu_matrix_homeservers" "Configured homeservers that answer, and that do not.";
    DEVICE_READY Gauge "sfu_matrix_device_ready" "1: the Matrix device has its keys at its homeserver and syncs.";
    DEVICE_EVENTS Counter "sfu_matrix_device_events_total" "To-device messages of the Matrix device, by what became of them: all but received and sent were dropped, and are repeated by their sender if they were meant well.";
    DEVICE_SYNCS_FAILED Counter "sfu_matrix_device_failed_syncs_total" "Syncs of the Matrix device that its homeserver did not answer.";
    JOIN Histogram "sfu_join_duration_seconds" "From a token that was accepted to media that is connected.";
    SOCKETS Counter "sfu_websockets_opened_total" "Signalling sockets opened.";
    SOCKETS_REFUSED Counter "sfu_websockets_refused_total" "Signalling sockets refused before they were opened, by reason.";
    HTTP_REFUSED Counter "sfu_http_connections_refused_total" "TCP connections closed because their address had too many.";
    SOCKETS_SLOW Counter "sfu_websockets_slow_total" "Signalling sockets closed because the client did not read.";
    DATAGRAMS_RECEIVED Counter "sfu_datagrams_received_total" "UDP datagrams that reached a worker, with those passed on by another.";
    DATAGRAMS_SENT Counter "sfu_datagrams_sent_total" "UDP datagrams made for clients.";
    DATAGRAMS_DROPPED Counter "sfu_datagrams_dropped_total" "UDP datagrams that came to nothing, by direction and reason.";
    TRANSMITS Counter "sfu_transmits_total" "Sends, each of one or more datagrams to one client.";
    SENDS_DELAYED Counter "sfu_sends_delayed_total" "Sends that waited because the kernel's buffer was full.";
    RECEIVE_ERRORS Counter "sfu_receive_errors_total" "Errors when receiving, such as a client's port that was closed.";
    SENT_BYTES Counter "sfu_sent_bytes_total" "Bytes of all datagrams made for clients.";
    PACKETS_RECEIVED Counter "sfu_packets_received_total" "Media packets received.";
    RECEIVED_BYTES Counter "sfu_received_bytes_total" "Bytes of media received.";
    PACKETS_FORWARDED Counter "sfu_packets_forwarded_total" "Copies of media packets that went to subscribers.";
    FORWARDED_BYTES Counter "sfu_forwarded_bytes_total" "Bytes of media that went to subscribers.";
    PACKETS_DROPPED Counter "sfu_packets_dropped_total" "Media packets that were not forwarded, by reason.";
    PACKETS_RECOVERED Counter "sfu_packets_recovered_total" "Media packets lost on their way here that came again when asked for.";
    PACKETS_RETRANSMITTED Counter "sfu_packets_retransmitted_total" "Media packets sent to a subscriber again because it had lost them.";
    RETRANSMISSIONS_MISSED Counter "sfu_retransmissions_missed_total" "Packets that a subscriber asked for again, but that were too old, or too much.";
    PACKETS_REPLAYED Counter "sfu_packets_replayed_total" "Media packets from memory to one that joined or changed layers, in place of a key-frame request.";
    NACKS Counter "sfu_nacks_total" "Lost packets asked for: received from subscribers, sent to publishers.";
    PADDING_SENT Counter "sfu_padding_sent_total" "Packets of nothing but padding, to find out what a path carries.";
    RTCP_MALFORMED Counter "sfu_rtcp_malformed_total" "RTCP packets that were authentic but not well formed.";
    KEYFRAME_REQUESTS Counter "sfu_keyframe_requests_total" "Requests for key frames: received from subscribers, sent to publishers.";
    LAYER_SWITCHES Counter "sfu_layer_switches_total" "Changes of the simulcast layer of a subscription.";
    PEERS Counter "sfu_peers_total" "WebRTC connections that came up, and that ended.";
    PANICS Counter "sfu_panics_total" "Peers lost to a bug of ours. Please report.";
    DATA_MESSAGES Counter "sfu_data_messages_total" "Data-channel messages received, sent and dropped.";
    RELAYS Counter "sfu_relays_total" "Messages between workers about media: sent, received, and for tracks that are gone.";
    MISROUTED Counter "sfu_misrouted_datagrams_total" "Datagrams that came to another worker's socket: sent on, received so, received too late.";
    RING_DROPPED Counter "sfu_ring_dropped_total" "What found no room in a worker's ring, by kind.";
    RING_DEPTH Gauge "sfu_ring_depth" "Messages that wait in a worker's ring.";
    WILLS Gauge "sfu_delegated_leaves" "Delayed leave events that are restarted for members.";
    WILL_EVENTS Counter "sfu_delegated_leave_events_total" "Delegated leaves: accepted, refused, restarted, retried, sent for the lost and for those who left, lost, taken back.";
    QUESTIONS Counter "sfu_matrix_openid_questions_total" "Questions to homeservers whose token somebody's is.";
    QUESTIONS_FAILED Counter "sfu_matrix_openid_questions_failed_total" "Of these, those that were not asked or not answered, by reason; not_global is somebody who has us look into our own network.";
    STATE_DEGRADED Gauge "sfu_state_degraded" "1 while state.dir cannot be written.";
    STATE_FAILURES Counter "sfu_state_write_failures_total" "Attempts to write to state.dir that failed.";
    STATE_DROPPED Counter "sfu_state_writes_dropped_total" "Changes that will never be in state.dir, because too many waited.";
    EVENTS_DROPPED Counter "sfu_events_dropped_total" "Passing news (speakers, quality) dropped because the control task was busy.";
}

/// Bounds of the buckets of [`JOIN`]: a good join takes some 100 ms; one that needs 10 s is a fault.
const JOIN_BUCKETS: [f64; 10] = [0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

type Label = Option<(&'static str, &'static str)>;

/// The engine's counters, by the names that it gives them. A test sees to it that none is missing.
const ENGINE: &[(&str, &Metric, Label)] = &[
    ("datagrams_received", &DATAGRAMS_RECEIVED, None),
    ("datagrams_junk", &DATAGRAMS_DROPPED, Some(("reason", "junk"))),
    ("datagrams_refused", &DATAGRAMS_DROPPED, Some(("reason", "refused_by_peer"))),
    ("datagrams_sent", &DATAGRAMS_SENT, None),
    ("transmits", &TRANSMITS, None),
    ("bytes_sent", &SENT_BYTES, None),
    ("packets_received", &PACKETS_RECEIVED, None),
    ("bytes_received", &RECEIVED_BYTES, None),
    ("packets_forwarded", &PACKETS_FORWARDED, None),
    ("bytes_forwarded", &FORWARDED_BYTES, None),
    ("packets_untracked", &PACKETS_DROPPED, Some(("reason", "untracked"))),
    ("packets_oversized", &PACKETS_DROPPED, Some(("reason", "oversized"))),
    ("packets_unknown_codec", &PACKETS_DROPPED, Some(("reason", "unknown_codec"))),
    ("packets_muted", &PACKETS_DROPPED, Some(("reason", "muted"))),
    ("packets_malformed", &PACKETS_DROPPED, Some(("reason", "malformed"))),
    ("packets_forged", &PACKETS_DROPPED, Some(("reason", "forged"))),
    ("packets_replay_attacks", &PACKETS_DROPPED, Some(("reason", "opened_before"))),
    ("packets_retired", &PACKETS_DROPPED, Some(("reason", "retired_source"))),
    ("packets_unassigned", &PACKETS_DROPPED, Some(("reason", "unassigned"))),
    ("packets_duplicate", &PACKETS_DROPPED, Some(("reason", "duplicate"))),
    ("packets_padding", &PACKETS_DROPPED, Some(("reason", "padding"))),
    ("packets_overtaken", &PACKETS_DROPPED, Some(("reason", "overtaken"))),
    ("packets_recovered", &PACKETS_RECOVERED, None),
    ("packets_replayed", &PACKETS_REPLAYED, None),
    ("packets_retransmitted", &PACKETS_RETRANSMITTED, None),
    ("retransmissions_missed", &RETRANSMISSIONS_MISSED, None),
    ("nacks_received", &NACKS, Some(("event", "received"))),
    ("nacks_sent", &NACKS, Some(("event", "sent"))),
    ("padding_sent", &PADDING_SENT, None),
    ("rtcp_malformed", &RTCP_MALFORMED, None),
    ("relays_sent", &RELAYS, Some(("event", "sent"))),
    ("relays_received", &RELAYS, Some(("event", "received"))),
    ("relays_untracked", &RELAYS, Some(("event", "untracked"))),
    ("keyframe_requests_received", &KEYFRAME_REQUESTS, Some(("event", "received"))),
    ("keyframe_requests_sent", &KEYFRAME_REQUESTS, Some(("event", "sent"))),
    ("layer_switches", &LAYER_SWITCHES, None),
    ("peers_connected", &PEERS, Some(("event", "connected"))),
    ("peers_closed", &PEERS, Some(("event", "closed"))),
    ("panics", &PANICS, None),
    ("data_messages_received", &DATA_MESSAGES, Some(("event", "received"))),
    ("data_messages_dropped", &DATA_MESSAGES, Some(("event", "dropped"))),
    ("data_messages_sent", &DATA_MESSAGES, Some(("event", "sent"))),
];

/// Counted by the engine, but told by the driver, which knows what then became of them.
#[cfg(test)]
const ENGINE_LEFT_OUT: &[&str] = &["datagrams_unknown"];

/// The metrics of one node.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    join: Histogram,
    pub(crate) sockets: SocketCounters,
    pub(crate) http_refused: Counter,
}

/// Counted where they happen: no machine of ours sees these.
pub(crate) struct SocketCounters {
    pub(crate) opened: Counter,
    pub(crate) refused_origin: Counter,
    pub(crate) refused_subprotocol: Counter,
    pub(crate) refused_draining: Counter,
    pub(crate) refused_waiting: Counter,
}

/// What all parts say of themselves.
pub(crate) struct Snapshot {
    pub(crate) control: ControlStats,
    pub(crate) workers: Vec<WorkerStats>,
    pub(crate) matrix: MatrixStats,
    /// Datagrams, media, steering, nowhere.
    pub(crate) ring_dropped: [u64; 4],
    pub(crate) state_failures: u64,
    pub(crate) state_dropped: u64,
    pub(crate) state_degraded: bool,
    /// To homeservers about their users' tokens, and why some were not answered.
    pub(crate) questions: (u64, Vec<(&'static str, u64)>),
}

/// Requests for tokens by what they came to, as far as there were any, who is watched, and which homeservers answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct MatrixStats {
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    pub(crate) watch: focus_matrix::watch::Counts,
    pub(crate) homeservers_up: usize,
    pub(crate) homeservers_down: usize,
    /// Of the Matrix device: whether it works, what became of events, failed syncs.
    pub(crate) device: DeviceStats,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct DeviceStats {
    pub(crate) ready: bool,
    /// In the order of [`DEVICE_OUTCOMES`].
    pub(crate) events: [u64; DEVICE_OUTCOMES.len()],
    pub(crate) failed_syncs: u64,
}

/// What can become of a to-device message.
pub(crate) const DEVICE_OUTCOMES: [&str; 9] =
    ["received", "sent", "unsent", "clear_text", "undecryptable", "unknown_device", "malformed", "refused", "unopened"];

/// What a request for a token can come to.
pub(crate) const OUTCOMES: [&str; 6] =
    ["granted", "granted_to_listen", "forbidden", "unauthorized", "unavailable", "limited"];

impl Metrics {
    pub(crate) fn new() -> Self {
        let matcher = metrics_exporter_prometheus::Matcher::Full(JOIN.name.to_owned());
        let builder = PrometheusBuilder::new();
        // Fails only for an empty list of buckets; then the histogram would be a summary.
        let builder = builder.set_buckets_for_metric(matcher, &JOIN_BUCKETS).unwrap_or_default();
        let recorder = builder.build_recorder();
        for metric in ALL {
            let (name, help) = (metric.name.into(), SharedString::const_str(metric.help));
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram => recorder.describe_histogram(name, Some(Unit::Seconds), help),
            }
        }
        let refused = |reason| counter(&recorder, &SOCKETS_REFUSED, Some(("reason", reason)));
        Self {
            handle: recorder.handle(),
            join: recorder.register_histogram(&key(&JOIN, None), &METADATA),
            sockets: SocketCounters {
                opened: counter(&recorder, &SOCKETS, None),
                refused_origin: refused("origin"),
                refused_subprotocol: refused("subprotocol"),
                refused_draining: refused("draining"),
                refused_waiting: refused("waiting"),
            },
            http_refused: counter(&recorder, &HTTP_REFUSED, None),
            recorder,
        }
    }

    pub(crate) fn joined(&self, took: Duration) {
        self.join.record(took.as_secs_f64());
    }

    /// Sorts what was recorded into buckets. Without it, a server whose metrics nobody reads keeps every sample.
    pub(crate) fn keep_house(&self) {
        self.handle.run_upkeep();
    }

    /// Text in the Prometheus exposition format.
    pub(crate) fn render(&self, snapshot: &Snapshot) -> String {
        self.gauge(&BUILD, Some(("version", env!("CARGO_PKG_VERSION"))), 1);
        self.tell_control(&snapshot.control);
        self.tell_matrix(&snapshot.matrix);
        for (name, metric, label) in ENGINE {
            let of = |w: &WorkerStats| w.engine.iter().find(|(n, _)| n == name).map_or(0, |(_, value)| value);
            self.count(metric, *label, snapshot.workers.iter().map(of).sum());
        }
        self.tell_wills(&snapshot.control.wills);
        self.tell_drivers(&snapshot.workers);
        let (questions, failed) = &snapshot.questions;
        self.count(&QUESTIONS, None, *questions);
        for (reason, value) in failed {
            self.count(&QUESTIONS_FAILED, Some(("reason", *reason)), *value);
        }
        self.gauge(&STATE_DEGRADED, None, usize::from(snapshot.state_degraded));
        self.count(&STATE_FAILURES, None, snapshot.state_failures);
        self.count(&STATE_DROPPED, None, snapshot.state_dropped);
        for (kind, value) in ["datagram", "media", "steering", "nowhere"].into_iter().zip(snapshot.ring_dropped) {
            self.count(&RING_DROPPED, Some(("kind", kind)), value);
        }
        for (worker, stats) in snapshot.workers.iter().enumerate() {
            let labels = vec![metrics::Label::new("worker", worker.to_string())];
            let gauge: Gauge = self.recorder.register_gauge(&Key::from_parts(RING_DEPTH.name, labels), &METADATA);
            gauge.set(stats.mailbox as f64);
        }
        self.handle.render()
    }

    fn tell_control(&self, control: &ControlStats) {
        let (g, c) = (&control.gauges, &control.counters);
        for (metric, value) in [
            (&SESSIONS, g.sessions),
            (&PARTICIPANTS, g.participants),
            (&CONFERENCES, g.conferences),
            (&TRACKS, g.tracks),
            (&SUBSCRIPTIONS, g.subscriptions),
        ] {
            self.gauge(metric, None, value);
        }
        for (metric, label, value) in [
            (&JOINS, None, c.joins),
            (&RESUMES, None, c.resumes),
            (&REFUSALS, Some(("reason", "token")), c.refused_token),
            (&REFUSALS, Some(("reason", "forbidden")), c.refused_forbidden),
            (&REFUSALS, Some(("reason", "closed")), c.refused_closed),
            (&REFUSALS, Some(("reason", "unconfirmed")), c.refused_unconfirmed),
            (&REFUSALS, Some(("reason", "resume")), c.refused_resume),
            (&REFUSALS, Some(("reason", "full")), c.refused_full),
            (&REFUSALS, Some(("reason", "draining")), c.refused_draining),
            (&REFUSALS, Some(("reason", "engine")), c.refused_engine),
            (&REFUSALS, Some(("reason", "protocol")), c.refused_protocol),
            (&LEAVES, Some(("reason", "left")), c.left),
            (&LEAVES, Some(("reason", "lost")), c.lost),
            (&LEAVES, Some(("reason", "replaced")), c.replaced),
            (&LEAVES, Some(("reason", "removed")), c.removed),
            (&OFFERS, None, c.offers),
            (&REQUEST_ERRORS, None, c.errors),
            (&LATE_MESSAGES, None, c.late_messages),
            (&COMMAND_FAILURES, None, c.command_failures),
            (&SOCKETS_SLOW, None, control.slow_sockets + control.counters.slow_channels),
        ] {
            self.count(metric, label, value);
        }
    }

    fn tell_wills(&self, wills: &focus_matrix::delegation::Counters) {
        self.gauge(&WILLS, None, usize::try_from(wills.held).unwrap_or(usize::MAX));
        for (event, value) in [
            ("accepted", wills.accepted),
            ("refused", wills.refused),
            ("restarted", wills.restarts),
            ("retried", wills.retries),
            ("sent_lost", wills.sent_lost),
            ("sent_left", wills.sent_left),
            ("lost", wills.lost),
            ("taken_back", wills.taken_back),
        ] {
            self.count(&WILL_EVENTS, Some(("event", event)), value);
        }
    }

    fn tell_matrix(&self, matrix: &MatrixStats) {
        for outcome in OUTCOMES {
            let value = matrix.outcomes.get(outcome).copied().unwrap_or_default();
            self.count(&MATRIX_TOKENS, Some(("reason", outcome)), value);
        }
        let watch = &matrix.watch;
        self.count(&REMOVALS, None, watch.kicked);
        self.count(&MATRIX_CHECKS, Some(("event", "answered")), watch.checks.saturating_sub(watch.unanswered));
        self.count(&MATRIX_CHECKS, Some(("event", "unanswered")), watch.unanswered);
        self.gauge(&MATRIX_WATCHED, None, watch.watched);
        self.gauge(&MATRIX_STALE, None, watch.stale);
        self.gauge(&HOMESERVERS, Some(("kind", "up")), matrix.homeservers_up);
        self.gauge(&HOMESERVERS, Some(("kind", "down")), matrix.homeservers_down);
        self.gauge(&DEVICE_READY, None, usize::from(matrix.device.ready));
        for (event, value) in DEVICE_OUTCOMES.into_iter().zip(matrix.device.events) {
            self.count(&DEVICE_EVENTS, Some(("event", event)), value);
        }
        self.count(&DEVICE_SYNCS_FAILED, None, matrix.device.failed_syncs);
    }

    fn tell_drivers(&self, workers: &[WorkerStats]) {
        let sum = |of: fn(&DriverCounters) -> u64| workers.iter().map(|w| of(&w.driver)).sum();
        for (metric, label, value) in [
            (&DATAGRAMS_DROPPED, Some(("reason", "unknown_source")), sum(|d| d.misrouted_unowned)),
            (&DATAGRAMS_DROPPED, Some(("reason", "send_queue_full")), sum(|d| d.udp.dropped_full)),
            (&DATAGRAMS_DROPPED, Some(("reason", "send_refused")), sum(|d| d.udp.dropped_refused)),
            (&DATAGRAMS_DROPPED, Some(("reason", "unsendable")), sum(|d| d.udp.dropped_unsendable)),
            (&SENDS_DELAYED, None, sum(|d| d.udp.sends_delayed)),
            (&RECEIVE_ERRORS, None, sum(|d| d.udp.receive_errors)),
            (&MISROUTED, Some(("event", "sent")), sum(|d| d.misrouted_sent)),
            (&MISROUTED, Some(("event", "received")), sum(|d| d.misrouted_received)),
            (&MISROUTED, Some(("event", "late")), sum(|d| d.misrouted_late)),
            (&EVENTS_DROPPED, None, sum(|d| d.events_dropped)),
            (&DATA_MESSAGES, Some(("event", "ignored")), sum(|d| d.data_ignored)),
        ] {
            self.count(metric, label, value);
        }
    }

    fn count(&self, metric: &'static Metric, label: Label, value: u64) {
        counter(&self.recorder, metric, label).absolute(value);
    }

    fn gauge(&self, metric: &'static Metric, label: Label, value: usize) {
        self.recorder.register_gauge(&key(metric, label), &METADATA).set(value as f64);
    }
}

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

fn key(metric: &'static Metric, label: Label) -> Key {
    Key::from_parts(metric.name, label.map(|(name, value)| vec![metrics::Label::new(name, value)]).unwrap_or_default())
}

fn counter(recorder: &PrometheusRecorder, metric: &'static Metric, label: Label) -> Counter {
    recorder.register_counter(&key(metric, label), &METADATA)
}

#[cfg(test)]
mod tests;
