//! One WebRTC association. The only file that names `str0m::Rtc`: everything else of the engine sees the methods of
//! [`Peer`] and its [`PeerEvent`]s, so that the media half behind them can be replaced.
//!
//! Every input is followed by a full drain of the `Rtc`, except for [`Peer::write`]: many writes, then one
//! [`Peer::flush`], because each drain walks every m-line of the `Rtc`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::channel::ChannelId;
use str0m::crypto::dtls::DtlsCert;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, Ssrc, VideoOrientation, Vp8Descriptor};
use str0m::{Candidate, IceCreds, Input, Output, Rtc, RtcConfig, RtcError};

use crate::batch::Batch;
use crate::codec::{Codec, CodecName};
use crate::config::EngineConfig;
use crate::demux::{self, Class};
use crate::forward::rewriter::Numbers;
use crate::id::{ConferenceId, Mid, ParticipantId, PeerId, Rid};
use crate::io::{Datagram, DisconnectReason, Extensions, Kind, Packet};
use crate::rtp;
use crate::sdp::OfferedLine;
use crate::stats::Counters;

/// Label of the data channel for later signalling.
pub const SIGNALLING_CHANNEL: &str = "rust-sfu";
/// str0m panics on packets over 2000 bytes with header; an Ethernet frame holds 1500.
const PAYLOAD_BYTES_MAX: usize = 1500;
/// str0m reports loss and round-trip time this often.
const STATS_INTERVAL: Duration = Duration::from_secs(2);
/// Receive streams remembered by SSRC: layers of 16 tracks and as many again that changed.
const SSRCS_MAX: usize = 128;

/// SSRCs that one peer may ever use. str0m keeps something of each; a browser uses one for each encoding.
const SSRCS_SEEN_MAX: usize = 1024;
/// As much of str0m's complaint about an offer as its sender is told.
const SDP_ERROR_CHARS: usize = 200;
/// An address from which a peer's media came so lately is not given to another peer.
const BUSY: Duration = Duration::from_secs(2);
/// Addresses from which one client may check within one ICE generation.
const CHECK_SOURCES_MAX: usize = 64;
const CHECKS_REMEMBERED: usize = 64;

/// Which STUN requests are let through to str0m, which keeps a candidate pair for each new source and has no bound on
/// them: who has seen one genuine request could replay it from everywhere.
#[derive(Debug, Default)]
struct Checks {
    sources: BTreeSet<SocketAddr>,
    /// The last transaction ids, with where they came from.
    recent: VecDeque<([u8; 12], SocketAddr)>,
}

impl Checks {
    fn admit(&mut self, datagram: &Datagram<'_>) -> bool {
        let Some(id) = datagram.contents.get(8..20).and_then(|id| <[u8; 12]>::try_from(id).ok()) else { return false };
        if self.recent.iter().any(|(known, source)| *known == id && *source != datagram.source) {
            return false;
        }
        if !self.sources.contains(&datagram.source) {
            if self.sources.len() == CHECK_SOURCES_MAX {
                return false;
            }
            self.sources.insert(datagram.source);
        }
        if self.recent.len() == CHECKS_REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((id, datagram.source));
        true
    }
}

/// A client that changed its address is followed once its old one has been without media for so long. A client with two
/// good addresses checks both, but sends its media from one.
const PATH_IDLE: Duration = Duration::from_millis(500);

/// Between which of our addresses and which of the client's everything but STUN goes.
#[derive(Debug, Clone, Copy)]
struct Path {
    local: SocketAddr,
    remote: SocketAddr,
    /// Media or DTLS came on it.
    used: Instant,
}

/// What a peer tells the engine.
#[derive(Debug)]
pub enum PeerEvent {
    Connected,
    Gone(DisconnectReason),
    Rtp {
        mid: Mid,
        rid: Option<Rid>,
        packet: Packet,
    },
    /// The subscriber on this m-line lost its picture.
    KeyframeRequest {
        mid: Mid,
    },
    Quality {
        uplink_loss: f32,
        downlink_loss: f32,
        rtt: Option<Duration>,
    },
    Data(Vec<u8>),
}

/// One negotiated m-line.
#[derive(Debug, Clone)]
struct Line {
    mid: Mid,
    kind: Kind,
    receives: bool,
    sends: bool,
    /// Payload types that the client takes here, with what they carry.
    payload_types: Vec<(u8, Codec)>,
}

/// See the module.
pub struct Peer {
    pub id: PeerId,
    pub conference: ConferenceId,
    pub participant: ParticipantId,
    /// Addresses that proved themselves with an authenticated STUN request, oldest first.
    pub addresses: VecDeque<SocketAddr>,
    /// Where to look for work next; kept by the engine.
    pub deadline: Option<Instant>,
    /// The deadline that stands in the engine's list.
    pub scheduled: Option<Instant>,
    /// What its m-lines carry: keys of the engine's subscriptions.
    pub subscriptions: BTreeMap<Mid, usize>,
    /// Written to since the last flush; kept by the engine.
    pub dirty: bool,
    pub last_received: Instant,
    pub created: Instant,
    /// It panicked: hands off.
    pub failed: bool,
    /// Trickled so far.
    pub candidates: usize,
    /// Key of the user fragment that the engine's directory has.
    pub ufrag: String,
    rtc: Rtc,
    connected: bool,
    path: Option<Path>,
    checks: Checks,
    ssrcs_seen: usize,
    lines: Vec<Line>,
    ssrcs: Vec<(Ssrc, Mid, Option<Rid>)>,
    channel: Option<ChannelId>,
    data_bytes_max: usize,
    events: VecDeque<PeerEvent>,
    #[cfg(feature = "fault-injection")]
    pub panic_next: bool,
}

impl Peer {
    pub fn new(
        now: Instant,
        (id, conference, participant): (PeerId, ConferenceId, ParticipantId),
        config: &EngineConfig,
        certificate: &DtlsCert,
        credentials: IceCreds,
    ) -> Self {
        let rtc_config = RtcConfig::new()
            .set_rtp_mode(true)
            .set_ice_lite(true)
            .set_local_ice_credentials(credentials)
            .set_crypto_provider(Arc::clone(&config.crypto))
            .set_dtls_cert(certificate.clone())
            .set_stats_interval(Some(STATS_INTERVAL))
            .set_send_buffer_video(config.bounds.rtx_packets)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .enable_vp9(true)
            .enable_h264(true)
            .enable_av1(true);
        let mut rtc = rtc_config.build(now);
        for candidate in &config.candidates {
            match Candidate::host(candidate.advertised, "udp") {
                Ok(candidate) => drop(rtc.add_local_candidate(candidate)),
                Err(error) => tracing::warn!(%error, "candidate not usable"),
            }
        }
        Self {
            id,
            conference,
            participant,
            addresses: VecDeque::new(),
            deadline: None,
            scheduled: None,
            dirty: false,
            last_received: now,
            created: now,
            failed: false,
            subscriptions: BTreeMap::new(),
            checks: Checks::default(),
            ssrcs_seen: 0,
            candidates: 0,
            ufrag: String::new(),
            rtc,
            connected: false,
            path: None,
            lines: Vec::new(),
            ssrcs: Vec::new(),
            channel: None,
            data_bytes_max: config.bounds.data_bytes,
            events: VecDeque::new(),
            #[cfg(feature = "fault-injection")]
            panic_next: false,
        }
    }

    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// The user fragment by which STUN requests name this peer now.
    pub fn local_ufrag(&mut self) -> String {
        self.rtc.direct_api().local_ice_credentials().ufrag
    }

    pub fn poll_event(&mut self) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    /// A datagram that names this peer or comes from one of its addresses. `true`: it was a genuine STUN request.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        batch: &mut Batch,
        counters: &mut Counters,
    ) -> bool {
        #[cfg(feature = "fault-injection")]
        assert!(!self.panic_next, "injected");
        let class = demux::classify(datagram.contents);
        let Ok(contents) = datagram.contents.try_into() else {
            counters.datagrams_refused += 1;
            return false;
        };
        let receive =
            Receive { proto: Protocol::Udp, source: datagram.source, destination: datagram.destination, contents };
        let input = Input::Receive(now, receive);
        let genuine_stun = class == Class::Stun && self.rtc.accepts(&input) && self.checks.admit(&datagram);
        if class == Class::Stun && !genuine_stun {
            counters.datagrams_refused += 1;
            return false;
        }
        if let Err(error) = self.rtc.handle_input(input) {
            counters.datagrams_refused += 1;
            tracing::debug!(peer = %self.id, %error, "input refused");
        }
        // Only what str0m could authenticate counts as a sign of life; RTP and RTCP show as events or statistics.
        if genuine_stun {
            self.last_received = now;
        }
        self.note_path(now, &datagram, genuine_stun);
        self.drain(now, batch, counters);
        genuine_stun
    }

    pub fn handle_timeout(&mut self, now: Instant, batch: &mut Batch, counters: &mut Counters) {
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            self.fail(&error);
        }
        self.drain(now, batch, counters);
    }

    /// Sends what was written.
    pub fn flush(&mut self, now: Instant, batch: &mut Batch, counters: &mut Counters) {
        self.dirty = false;
        self.handle_timeout(now, batch, counters);
    }

    /// Says goodbye (DTLS close_notify).
    pub fn close(&mut self, now: Instant, batch: &mut Batch, counters: &mut Counters) {
        if self.connected && self.rtc.close().is_ok() {
            self.drain(now, batch, counters);
        }
        self.rtc.disconnect();
    }

    /// Takes the client's offer. `lines` is what [`sdp::scan`](crate::sdp::scan) read of it.
    pub fn accept_offer(&mut self, sdp: &str, lines: &[OfferedLine]) -> Result<String, String> {
        // An ICE-lite agent learns addresses from the checks that arrive. What a client claims would only make work.
        let sdp: String = sdp.split_inclusive('\n').filter(|line| !line.starts_with("a=candidate:")).collect();
        // str0m's text holds pieces of the SDP, and addresses of our memory.
        let offer = SdpOffer::from_sdp_string(&sdp).map_err(|_| "it does not parse".to_owned())?;
        let answer = self.rtc.sdp_api().accept_offer(offer).map_err(|error| match error {
            RtcError::RemoteSdp(text) => text.chars().take(SDP_ERROR_CHARS).collect(),
            _ => "it does not fit what was negotiated".to_owned(),
        })?;
        if self.local_ufrag() != self.ufrag {
            self.checks = Checks::default();
        }
        let codecs: Vec<(u8, Codec)> =
            self.rtc.codec_config().params().iter().filter_map(|p| Some((*p.pt(), codec(&p.spec())?))).collect();
        self.ssrcs.retain(|(_, mid, _)| lines.iter().any(|line| line.mid == Some(*mid)));
        self.lines.clear();
        for line in lines {
            let (Some(mid), Some(kind)) = (line.mid, line.kind) else { continue };
            let Some(media) = self.rtc.media(mid.as_str().into()) else { continue };
            let direction: Direction = media.direction();
            let takes = |pt: &u8| media.remote_pts().iter().any(|remote| **remote == *pt);
            let payload_types: Vec<_> = codecs.iter().filter(|(pt, _)| takes(pt)).copied().collect();
            let kind_agrees = (media.kind() == MediaKind::Audio) == (kind == Kind::Audio);
            let usable = kind_agrees && !payload_types.is_empty();
            self.lines.push(Line {
                mid,
                kind,
                receives: usable && direction.is_receiving(),
                sends: usable && direction.is_sending(),
                payload_types,
            });
        }
        Ok(answer.to_sdp_string())
    }

    /// Whether a trickled candidate is one. It is not used: see [`Peer::accept_offer`].
    pub fn knows_candidate(candidate: &str) -> bool {
        Candidate::from_sdp_string(candidate).is_ok()
    }

    /// Its media came from this address just now.
    pub fn is_busy_at(&self, address: SocketAddr, now: Instant) -> bool {
        self.path.is_some_and(|path| path.remote == address && now < path.used + BUSY)
    }

    /// The client sends media of this kind on this m-line.
    pub fn receives_on(&self, mid: Mid, kind: Kind) -> bool {
        self.lines.iter().any(|line| line.mid == mid && line.kind == kind && line.receives)
    }

    /// The client takes media of this kind on this m-line.
    pub fn sends_on(&self, mid: Mid, kind: Kind) -> bool {
        self.lines.iter().any(|line| line.mid == mid && line.kind == kind && line.sends)
    }

    /// The payload type for `codec` on an m-line to the client. An H264 or VP9 profile must be the very one.
    pub fn payload_type(&self, mid: Mid, codec: Codec) -> Option<u8> {
        let line = self.lines.iter().find(|line| line.mid == mid && line.sends)?;
        line.payload_types.iter().find(|(_, other)| *other == codec).map(|(pt, _)| *pt)
    }

    /// Queues a packet to the client; [`Peer::flush`] sends it.
    pub fn write(&mut self, mid: Mid, payload_type: u8, packet: &Packet, numbers: &Numbers) {
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx_by_mid(mid.as_str().into(), None) else { return };
        let mut extensions = ExtensionValues::default();
        if let Some((level, voice)) = packet.extensions.audio_level {
            extensions.audio_level = i8::try_from(level).ok().map(|level| -level);
            extensions.voice_activity = Some(voice);
        }
        extensions.video_orientation = packet.extensions.rotation.map(orientation);
        let mut write = RtpWrite::new(
            payload_type.into(),
            numbers.sequence.into(),
            numbers.timestamp,
            packet.received,
            Arc::clone(&packet.payload),
        )
        .marker(packet.marker)
        .ext_vals(extensions)
        .nackable(packet.codec.name != CodecName::Opus);
        if let Some(vp8) = numbers.vp8
            && let Ok(descriptor) = Vp8Descriptor::parse(&packet.payload)
        {
            let mut patch = descriptor.patch();
            if let Some(picture_id) = vp8.picture_id {
                patch = patch.picture_id(picture_id);
            }
            if let Some(tl0) = vp8.tl0_picture_index {
                patch = patch.tl0_pic_idx(tl0);
            }
            if let Ok(patch) = patch.build() {
                write = write.vp8_patch(patch);
            }
        }
        stream.write_rtp(write);
    }

    /// Asks the client for a key frame of something that it publishes (RFC 4585 PLI).
    pub fn request_keyframe(&mut self, mid: Mid, rid: Option<Rid>) -> bool {
        let rid = rid.map(|rid| rid.as_str().into());
        match self.rtc.direct_api().stream_rx_by_mid(mid.as_str().into(), rid) {
            Some(stream) => {
                stream.request_keyframe(KeyframeRequestKind::Pli);
                true
            }
            None => false,
        }
    }

    /// Sends on the signalling data channel; `false` if it is not open or too much waits in it.
    pub fn send_data(&mut self, data: &[u8]) -> bool {
        let Some(mut channel) = self.channel.and_then(|id| self.rtc.channel(id)) else { return false };
        channel.buffered_amount() + data.len() <= self.data_bytes_max && channel.write(false, data).unwrap_or(false)
    }

    /// Follows the client's nomination. str0m as an ICE-lite agent stays with the first pair of the highest priority, and
    /// without checks of its own never learns that it broke: after a NAT gave the client another port, it would send
    /// into the void.
    fn note_path(&mut self, now: Instant, datagram: &Datagram<'_>, genuine_stun: bool) {
        let (local, remote) = (datagram.destination, datagram.source);
        let nominates = genuine_stun && demux::stun_nominates(datagram.contents);
        match &mut self.path {
            Some(path) if (path.local, path.remote) == (local, remote) => {
                path.used = if genuine_stun { path.used } else { now };
            }
            Some(path) if now < path.used + PATH_IDLE => {}
            path if nominates => *path = Some(Path { local, remote, used: now }),
            _ => {}
        }
    }

    fn drain(&mut self, now: Instant, batch: &mut Batch, counters: &mut Counters) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(deadline)) => {
                    // str0m may name a time that has passed; ask again no sooner than the clock can tell apart.
                    self.deadline = Some(deadline.max(now + Duration::from_micros(100)));
                    break;
                }
                Ok(Output::Transmit(transmit)) => {
                    counters.datagrams_sent += 1;
                    counters.bytes_sent += transmit.contents.len() as u64;
                    let stun = demux::classify(&transmit.contents) == Class::Stun;
                    let (source, destination) = match self.path {
                        Some(path) if !stun => (path.local, path.remote),
                        _ => (transmit.source, transmit.destination),
                    };
                    batch.push(source, destination, &transmit.contents);
                }
                Ok(Output::Event(event)) => self.handle_event(now, event, counters),
                Err(error) => {
                    self.fail(&error);
                    break;
                }
            }
        }
        if !self.rtc.is_alive() {
            self.events.push_back(PeerEvent::Gone(DisconnectReason::Closed));
        }
    }

    fn fail(&mut self, error: &RtcError) {
        tracing::debug!(peer = %self.id, %error, "peer failed");
        self.rtc.disconnect();
        self.events.push_back(PeerEvent::Gone(DisconnectReason::Failed));
    }

    fn handle_event(&mut self, now: Instant, event: str0m::Event, counters: &mut Counters) {
        use str0m::Event;
        match event {
            Event::Connected => {
                self.connected = true;
                self.last_received = now;
                self.events.push_back(PeerEvent::Connected);
            }
            Event::Closed => self.events.push_back(PeerEvent::Gone(DisconnectReason::Closed)),
            Event::RtpPacket(packet) => {
                self.last_received = now;
                self.handle_rtp(now, packet, counters);
            }
            Event::KeyframeRequest(request) => {
                if let Some(mid) = Mid::new(&request.mid) {
                    self.events.push_back(PeerEvent::KeyframeRequest { mid });
                }
            }
            Event::PeerStats(stats) => self.events.push_back(PeerEvent::Quality {
                uplink_loss: stats.ingress_loss_fraction.unwrap_or(0.0).clamp(0.0, 1.0),
                downlink_loss: stats.egress_loss_fraction.unwrap_or(0.0).clamp(0.0, 1.0),
                rtt: stats.rtt,
            }),
            Event::ChannelOpen(id, label) if label == SIGNALLING_CHANNEL && self.channel.is_none() => {
                self.channel = Some(id)
            }
            Event::ChannelClose(id) if self.channel == Some(id) => self.channel = None,
            Event::ChannelData(data) => {
                if self.channel == Some(data.id) && data.data.len() <= self.data_bytes_max {
                    counters.data_messages_received += 1;
                    self.events.push_back(PeerEvent::Data(data.data));
                } else {
                    counters.data_messages_dropped += 1;
                }
            }
            _ => {}
        }
    }

    fn handle_rtp(&mut self, now: Instant, packet: RtpPacket, counters: &mut Counters) {
        counters.packets_received += 1;
        counters.bytes_received += packet.payload.len() as u64;
        if packet.payload.len() > PAYLOAD_BYTES_MAX {
            counters.packets_oversized += 1;
            return;
        }
        let Some((mid, rid)) = self.stream_of(packet.header.ssrc) else {
            counters.packets_untracked += 1;
            return;
        };
        let payload_type = *packet.header.payload_type;
        let line = self.lines.iter().find(|line| line.mid == mid);
        let of_line = line.and_then(|line| line.payload_types.iter().find(|(pt, _)| *pt == payload_type));
        let Some(codec) = of_line.map(|(_, codec)| *codec) else {
            counters.packets_unknown_codec += 1;
            return;
        };
        let values = &packet.header.ext_vals;
        let extensions = Extensions {
            audio_level: values
                .audio_level
                .map(|level| (level.unsigned_abs().min(127), values.voice_activity.unwrap_or(false))),
            rotation: values.video_orientation.map(degrees),
        };
        let packet = Packet {
            source: *packet.header.ssrc,
            sequence: *packet.seq_no,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            codec,
            keyframe: rtp::begins_keyframe(codec.name, &packet.payload),
            extensions,
            received: now,
            payload: packet.payload,
        };
        self.events.push_back(PeerEvent::Rtp { mid, rid, packet });
    }

    /// Which m-line and encoding an SSRC belongs to, as str0m learned it from header extensions or SDP.
    fn stream_of(&mut self, ssrc: Ssrc) -> Option<(Mid, Option<Rid>)> {
        if let Some((_, mid, rid)) = self.ssrcs.iter().find(|(known, ..)| *known == ssrc) {
            return Some((*mid, *rid));
        }
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_rx(&ssrc)?;
        let mid = Mid::new(&stream.mid())?;
        let rid = stream.rid().and_then(|rid| Rid::new(&rid));
        if self.ssrcs.len() == SSRCS_MAX {
            self.ssrcs.remove(0);
        }
        self.ssrcs_seen += 1;
        if self.ssrcs_seen > SSRCS_SEEN_MAX {
            tracing::debug!(peer = %self.id, "too many sources");
            self.rtc.disconnect();
            self.events.push_back(PeerEvent::Gone(DisconnectReason::Failed));
            return None;
        }
        self.ssrcs.push((ssrc, mid, rid));
        Some((mid, rid))
    }
}

fn codec(spec: &str0m::format::CodecSpec) -> Option<Codec> {
    use str0m::format::Codec as Name;
    let format = &spec.format;
    let (name, profile) = match spec.codec {
        Name::Opus => (CodecName::Opus, 0),
        Name::Vp8 => (CodecName::Vp8, 0),
        Name::Vp9 => (CodecName::Vp9, format.profile_id.unwrap_or(0)),
        Name::Av1 => (CodecName::Av1, format.profile.map_or(0, u32::from)),
        // The level may differ between sender and receiver; profile and constraints may not (RFC 6184 §8.2.2).
        Name::H264 => {
            let profile = format.profile_level_id.unwrap_or(0x42_00_1f) >> 8;
            (CodecName::H264, profile << 1 | u32::from(format.packetization_mode.unwrap_or(0) & 1))
        }
        _ => return None,
    };
    Some(Codec { name, profile, clock_rate: spec.clock_rate.get() })
}

fn degrees(orientation: VideoOrientation) -> u16 {
    match orientation {
        VideoOrientation::Deg0 => 0,
        VideoOrientation::Deg90 => 90,
        VideoOrientation::Deg180 => 180,
        VideoOrientation::Deg270 => 270,
    }
}

fn orientation(degrees: u16) -> VideoOrientation {
    match degrees {
        90 => VideoOrientation::Deg90,
        180 => VideoOrientation::Deg180,
        270 => VideoOrientation::Deg270,
        _ => VideoOrientation::Deg0,
    }
}
