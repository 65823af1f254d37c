//! The peer connection: str0m and SDP, nothing of the dialect.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use focus_signaling::wire::{Answer, Kind, Offer, PublishedTrack};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::crypto::CryptoProvider;
use str0m::format::Codec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Pt, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc};

use super::{Effect, RtpIn};

/// What an m-line is for. Its number stays, whatever mid str0m finds for it.
#[derive(Debug)]
struct Line {
    kind: Kind,
    /// `None`: it receives. Otherwise the rids of its layers; none for a single one.
    send: Option<Vec<&'static str>>,
    mid: Option<Mid>,
    stop: bool,
}

pub struct Call {
    rtc: Rtc,
    connected: bool,
    deadline: Option<Instant>,
    lines: Vec<Line>,
    pending: Option<Pending>,
    /// Something changed while an offer was pending.
    pub(super) again: bool,
    seq: u64,
    restart: Option<SocketAddr>,
    wants_channel: bool,
    channel: Option<ChannelId>,
    events: Vec<CallEvent>,
    transmits: Vec<Effect>,
}

struct Pending {
    change: SdpPendingOffer,
    offer: Offer,
    id: Option<u64>,
    restart: Option<SocketAddr>,
}

/// What a peer connection reports.
pub(super) enum CallEvent {
    Connected,
    Keyframe { line: usize, rid: Option<Rid> },
    Rtp(RtpIn),
    DataOpen,
    Data(Vec<u8>),
}

/// A published source, as an offer describes it.
pub(super) struct Described {
    pub(super) line: usize,
    pub(super) track: PublishedTrack,
}

/// One packet to send.
pub(super) struct RtpOut {
    pub(super) line: usize,
    pub(super) rid: Option<Rid>,
    pub(super) sequence: u64,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) level: Option<i8>,
    pub(super) payload: Arc<[u8]>,
}

/// RTP that no browser would send.
#[derive(Debug, Clone)]
pub struct Stray {
    /// The m-line whose mid it names, whatever that is for.
    pub line: usize,
    pub rid: Option<&'static str>,
    pub ssrc: u32,
    pub sequence: u64,
    pub payload: Vec<u8>,
}

/// Enough for the longest outage that a story expects RTX to bridge.
const RTX_PACKETS: usize = 2048;
const RTX_AGE: Duration = Duration::from_secs(3);

impl Call {
    pub(super) fn new(crypto: Arc<CryptoProvider>, local: SocketAddr, now: Instant) -> Self {
        let mut rtc = Rtc::builder()
            .set_rtp_mode(true)
            .set_crypto_provider(crypto)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .set_reordering_size_video(0)
            .build(now);
        add_host(&mut rtc, local);
        Self {
            rtc,
            connected: false,
            deadline: Some(now),
            lines: Vec::new(),
            pending: None,
            again: false,
            seq: 0,
            restart: None,
            wants_channel: false,
            channel: None,
            events: Vec::new(),
            transmits: Vec::new(),
        }
    }

    pub fn is_connected(&self) -> bool {
        self.connected && self.rtc.is_alive()
    }

    pub fn is_alive(&self) -> bool {
        self.rtc.is_alive()
    }

    // ---- negotiation

    pub(super) fn add_slot(&mut self, kind: Kind) -> usize {
        self.lines.push(Line { kind, send: None, mid: None, stop: false });
        self.lines.len() - 1
    }

    pub(super) fn add_source(&mut self, kind: Kind, rids: Vec<&'static str>) -> usize {
        self.lines.push(Line { kind, send: Some(rids), mid: None, stop: false });
        self.lines.len() - 1
    }

    pub(super) fn add_data_channel(&mut self) {
        self.wants_channel = true;
    }

    pub(super) fn stop(&mut self, line: usize) {
        self.lines[line].stop = true;
    }

    pub(super) fn restart_ice(&mut self, local: SocketAddr) {
        self.restart = Some(local);
    }

    pub(super) fn mid(&self, line: usize) -> Option<Mid> {
        self.lines[line].mid
    }

    fn line(&self, mid: Mid) -> Option<usize> {
        self.lines.iter().position(|line| line.mid == Some(mid))
    }

    /// An offer of everything that changed; `None` if nothing did, or an answer is still awaited (then one follows it).
    pub(super) fn offer(&mut self, described: Vec<Described>) -> Option<Offer> {
        if self.pending.is_some() {
            self.again = true;
            return None;
        }
        self.again = false;
        let mut api = self.rtc.sdp_api();
        for line in &mut self.lines {
            let kind = if line.kind == Kind::Audio { MediaKind::Audio } else { MediaKind::Video };
            match (line.mid, &line.send) {
                (None, None) => line.mid = Some(api.add_media(kind, Direction::RecvOnly, None, None, None)),
                (None, Some(rids)) => {
                    let simulcast = (!rids.is_empty()).then(|| Simulcast {
                        send: rids.iter().map(|rid| SimulcastLayer::new(rid)).collect(),
                        recv: Vec::new(),
                    });
                    line.mid = Some(api.add_media(kind, Direction::SendOnly, None, None, simulcast));
                }
                (Some(mid), _) if line.stop => api.set_direction(mid, Direction::Inactive),
                _ => {}
            }
        }
        if self.wants_channel && self.channel.is_none() {
            self.channel = Some(api.add_channel(sfu_core::SIGNALLING_CHANNEL.to_owned()));
        }
        let restart = self.restart.take();
        if restart.is_some() {
            api.ice_restart(false);
        }
        let (sdp, change) = api.apply()?;
        self.seq += 1;
        let tracks = described
            .into_iter()
            .filter_map(|Described { line, track }| {
                Some(PublishedTrack { mid: self.lines[line].mid?.to_string(), ..track })
            })
            .collect();
        let offer = Offer { sdp: sdp.to_sdp_string(), seq: self.seq, tracks };
        self.pending = Some(Pending { change, offer: offer.clone(), id: None, restart });
        Some(offer)
    }

    pub(super) fn offer_sent_as(&mut self, id: u64) {
        if let Some(pending) = &mut self.pending {
            pending.id = Some(id);
        }
    }

    /// The offer that is not answered yet, under the next number.
    pub(super) fn repeat_offer(&mut self) -> Option<Offer> {
        let pending = self.pending.as_mut()?;
        self.seq += 1;
        pending.offer.seq = self.seq;
        Some(pending.offer.clone())
    }

    /// An error came. Answers whether it refused the pending offer, which is then no more.
    pub(super) fn handle_refusal(&mut self, re: Option<u64>) -> bool {
        let ours = re.is_some() && self.pending.as_ref().is_some_and(|pending| pending.id == re);
        if ours {
            self.pending = None;
        }
        ours
    }

    /// Answers whether the answer was awaited.
    pub(super) fn handle_answer(&mut self, answer: &Answer) -> bool {
        let Some(pending) = self.pending.take_if(|pending| pending.offer.seq == answer.seq) else { return false };
        let sdp = SdpAnswer::from_sdp_string(&answer.sdp).expect("the focus's answer must parse");
        self.rtc.sdp_api().accept_answer(pending.change, sdp).expect("the focus's answer must fit the offer");
        if let Some(local) = pending.restart {
            add_host(&mut self.rtc, local);
        }
        true
    }

    // ---- media

    pub(super) fn handle_datagram(&mut self, now: Instant, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
        if let Ok(receive) = Receive::new(Protocol::Udp, source, destination, bytes)
            && self.rtc.is_alive()
        {
            // What it refuses it drops, as a browser does.
            let _ = self.rtc.handle_input(Input::Receive(now, receive));
        }
    }

    pub(super) fn payload_type(&self, kind: Kind) -> Option<Pt> {
        let codec = if kind == Kind::Audio { Codec::Opus } else { Codec::Vp8 };
        self.rtc.codec_config().params().iter().find(|params| params.spec().codec == codec).map(|params| params.pt())
    }

    /// Queues a packet; the next `flush` sends it. Answers whether the m-line can send.
    pub(super) fn write(&mut self, now: Instant, out: RtpOut) -> bool {
        let Some(pt) = self.payload_type(self.lines[out.line].kind) else { return false };
        let Some(mid) = self.lines[out.line].mid else { return false };
        let video = self.lines[out.line].kind == Kind::Video;
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx_by_mid(mid, out.rid) else { return false };
        let ext_vals = ExtensionValues {
            audio_level: out.level,
            voice_activity: out.level.map(|level| level > -60),
            ..ExtensionValues::default()
        };
        stream.write_rtp(
            RtpWrite::new(pt, out.sequence.into(), out.timestamp, now, &out.payload[..])
                .marker(out.marker)
                .ext_vals(ext_vals)
                .nackable(video),
        );
        true
    }

    /// str0m stops answering NACKs beyond 15 % of resends; a browser does not.
    pub(super) fn lift_rtx_cap(&mut self, line: usize, rid: Option<Rid>) {
        if let Some(mid) = self.mid(line)
            && let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(mid, rid)
        {
            stream.set_rtx_cache(RTX_PACKETS, RTX_AGE, None);
        }
    }

    /// New SSRCs for what a source sends.
    pub(super) fn restart_ssrc(&mut self, line: usize, rid: Option<Rid>, ssrc: u32) {
        let video = self.lines[line].kind == Kind::Video;
        if let Some(mid) = self.mid(line) {
            let rtx = video.then(|| (ssrc ^ 1).into());
            self.rtc.direct_api().reset_stream_tx(mid, rid, ssrc.into(), rtx).expect("a stream that sends");
        }
    }

    pub(super) fn ask_for_keyframes(&mut self) {
        let videos = self.lines.iter().filter(|line| line.send.is_none() && line.kind == Kind::Video);
        for mid in videos.filter_map(|line| line.mid) {
            if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(mid, None) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
    }

    pub(super) fn write_stray(&mut self, now: Instant, stray: &Stray) {
        let line = &self.lines[stray.line];
        let (Some(mid), Some(pt)) = (line.mid, self.payload_type(line.kind)) else { return };
        let mut direct = self.rtc.direct_api();
        let ssrc = stray.ssrc.into();
        if direct.stream_tx(&ssrc).is_none() {
            direct.declare_stream_tx(ssrc, None, mid, stray.rid.map(Rid::from));
        }
        if let Some(stream) = direct.stream_tx(&ssrc) {
            stream.write_rtp(RtpWrite::new(pt, stray.sequence.into(), 1000, now, &stray.payload[..]));
        }
    }

    /// Answers whether there was room.
    pub(super) fn send_data(&mut self, data: &[u8]) -> bool {
        let channel = self.channel.and_then(|id| self.rtc.channel(id));
        channel.is_some_and(|mut channel| channel.write(true, data).is_ok_and(|written| written))
    }

    pub(super) fn close(&mut self, effects: &mut Vec<Effect>) {
        let _ = self.rtc.close();
        self.poll();
        effects.append(&mut self.transmits);
    }

    /// Sends what was written.
    pub(super) fn flush(&mut self, now: Instant) {
        if self.rtc.is_alive() {
            let _ = self.rtc.handle_input(Input::Timeout(now));
            self.poll();
        }
    }

    /// What has happened and is to be sent since the last time.
    pub(super) fn drain(&mut self, effects: &mut Vec<Effect>) -> Vec<CallEvent> {
        self.poll();
        effects.append(&mut self.transmits);
        std::mem::take(&mut self.events)
    }

    fn poll(&mut self) {
        while self.rtc.is_alive() {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => self.transmits.push(Effect::Datagram {
                    source: transmit.source,
                    destination: transmit.destination,
                    bytes: transmit.contents.to_vec(),
                }),
                Ok(Output::Timeout(at)) => {
                    self.deadline = Some(at);
                    return;
                }
                Ok(Output::Event(event)) => {
                    let event = self.handle_event(event);
                    self.events.extend(event);
                }
                Err(error) => panic!("the client's own stack failed: {error}"),
            }
        }
        self.deadline = None;
    }

    fn handle_event(&mut self, event: Event) -> Option<CallEvent> {
        match event {
            Event::Connected => {
                self.connected = true;
                Some(CallEvent::Connected)
            }
            Event::KeyframeRequest(request) => {
                Some(CallEvent::Keyframe { line: self.line(request.mid)?, rid: request.rid })
            }
            Event::RtpPacket(packet) => {
                let ssrc = packet.header.ssrc;
                let mid = self.rtc.direct_api().stream_rx(&ssrc).map(|stream| stream.mid())?;
                let line = self.line(mid)?;
                Some(CallEvent::Rtp(RtpIn {
                    line,
                    track: None,
                    ssrc: *ssrc,
                    sequence: *packet.seq_no,
                    timestamp: packet.header.timestamp,
                    marker: packet.header.marker,
                    video: self.lines[line].kind == Kind::Video,
                    level: packet.header.ext_vals.audio_level,
                    payload: packet.payload,
                }))
            }
            Event::ChannelOpen(id, _) => {
                self.channel = Some(id);
                Some(CallEvent::DataOpen)
            }
            Event::ChannelData(data) => Some(CallEvent::Data(data.data)),
            _ => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

fn add_host(rtc: &mut Rtc, local: SocketAddr) {
    rtc.add_local_candidate(Candidate::host(local, "udp").expect("a host candidate"));
}
