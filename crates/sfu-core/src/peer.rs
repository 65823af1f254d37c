//! One WebRTC association. Here and in `peer/` is the only code that names `str0m::Rtc`, which has its control half: SDP,
//! ICE, DTLS, SCTP. RTP and RTCP go to the [`MediaHalf`] and never reach str0m; what str0m would send of them is dropped,
//! for two writers under one SRTP key would use nonces twice (RFC 7714 §8.4).

mod channel;
mod checks;
mod negotiated;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::crypto::CryptoProvider;
use str0m::crypto::dtls::DtlsCert;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, IceCreds, Input, Output, Rtc, RtcConfig, RtcError};

use self::channel::SignallingChannel;
use self::checks::Checks;
use crate::allocator::Allocator;
use crate::batch::Batch;
use crate::config::EngineConfig;
use crate::demux::{self, Class};
use crate::id::{ConferenceId, Mid, ParticipantId, PeerId};
#[cfg(feature = "fault-injection")]
use crate::io::Fault;
use crate::io::{Datagram, DisconnectReason, Kind};
use crate::keys;
use crate::media::{MediaHalf, Path};
use crate::sdp::OfferedLine;
use crate::stats::Counters;

/// Label of the data channel for signalling.
pub const SIGNALLING_CHANNEL: &str = "rust-sfu";
/// As much of str0m's complaint about an offer as its sender is told.
const SDP_ERROR_CHARS: usize = 200;
/// The media half has just been called: it is called again no sooner than this.
const MEDIA_PAUSE: Duration = Duration::from_micros(250);
/// An address from which a peer's media came so lately is not given to another peer.
const BUSY: Duration = Duration::from_secs(2);
/// A client that changed its address is followed once its old one has been without media for so long. A client with two
/// good addresses checks both, but sends its media from one.
const PATH_IDLE: Duration = Duration::from_millis(500);

/// What a peer tells the engine.
#[derive(Debug)]
pub enum PeerEvent {
    Connected,
    Gone(DisconnectReason),
    /// A message on the signalling data channel.
    Data(Vec<u8>),
    /// The client closed the signalling data channel.
    DataClosed,
}

/// One negotiated m-line.
#[derive(Debug, Clone, Copy)]
struct Line {
    mid: Mid,
    kind: Kind,
    receives: bool,
    sends: bool,
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
    /// Its RTP and RTCP.
    pub media: MediaHalf,
    /// Shares what its path carries among what it wants.
    pub allocator: Allocator,
    /// The estimate by which that was done last, bits per second.
    pub allocated: u64,
    rtc: Rtc,
    /// When str0m wants to be called.
    rtc_deadline: Option<Instant>,
    /// Something was written to it since it was drained.
    rtc_dirty: bool,
    connected: bool,
    checks: Checks,
    lines: Vec<Line>,
    channel: SignallingChannel,
    events: VecDeque<PeerEvent>,
    #[cfg(feature = "fault-injection")]
    pub panic_next: Option<Fault>,
}

impl Peer {
    pub fn new(
        now: Instant,
        (id, conference, participant): (PeerId, ConferenceId, ParticipantId),
        config: &EngineConfig,
        crypto: &Arc<CryptoProvider>,
        certificate: &DtlsCert,
        credentials: IceCreds,
    ) -> Self {
        let mut rtc_config = RtcConfig::new()
            .set_rtp_mode(true)
            .set_ice_lite(true)
            .set_local_ice_credentials(credentials)
            .set_crypto_provider(Arc::clone(crypto))
            .set_dtls_cert(certificate.clone())
            .set_stats_interval(None)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .enable_vp9(true)
            .enable_h264(true)
            .enable_av1(true);
        // Lost sound is sent again on request; browsers ask for it only if the answer says so (docs/signalling.md).
        for codec in
            rtc_config.codec_config().iter_mut().filter(|codec| codec.spec().codec == str0m::format::Codec::Opus)
        {
            codec.set_fb_nack(true);
        }
        let mut rtc = rtc_config.build(now);
        let media = MediaHalf::new(now, keys::take_latest());
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
            candidates: 0,
            ufrag: String::new(),
            media,
            allocator: Allocator::default(),
            allocated: 0,
            rtc,
            rtc_deadline: None,
            rtc_dirty: false,
            connected: false,
            lines: Vec::new(),
            channel: SignallingChannel::new(now, config.bounds.data_bytes),
            events: VecDeque::new(),
            #[cfg(feature = "fault-injection")]
            panic_next: None,
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

    /// STUN or DTLS that names this peer or comes from one of its addresses. `true`: it was a genuine STUN request.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        batch: &mut Batch,
        counters: &mut Counters,
    ) -> bool {
        #[cfg(feature = "fault-injection")]
        self.panic_if_told(Fault::Datagram);
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
        // Only what could be authenticated counts as a sign of life.
        if genuine_stun {
            self.last_received = now;
        }
        let nominates = genuine_stun && demux::stun_nominates(datagram.contents);
        self.note_path(now, &datagram, !genuine_stun, nominates);
        self.drain(now, batch, counters);
        genuine_stun
    }

    /// Authentic RTP or RTCP came from there.
    pub fn note_media(&mut self, now: Instant, datagram: &Datagram<'_>) {
        self.last_received = now;
        self.note_path(now, datagram, true, false);
    }

    /// It did what no client does.
    pub fn give_up(&mut self) {
        self.rtc.disconnect();
        self.events.push_back(PeerEvent::Gone(DisconnectReason::Failed));
    }

    #[cfg(feature = "fault-injection")]
    pub fn panic_if_told(&self, at: Fault) {
        assert!(self.panic_next != Some(at), "injected");
    }

    pub fn handle_timeout(&mut self, now: Instant, batch: &mut Batch, counters: &mut Counters) {
        if self.rtc_dirty || self.rtc_deadline.is_some_and(|at| at <= now) {
            if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
                self.fail(&error);
            }
            self.drain(now, batch, counters);
        }
        self.update_deadline(now);
    }

    /// Sends what was written to the control half. What that does by the clock waits for
    /// [`handle_timeout`](Self::handle_timeout): it is no part of forwarding.
    pub fn send_written(&mut self, now: Instant, batch: &mut Batch, counters: &mut Counters) {
        if self.rtc_dirty {
            self.handle_timeout(now, batch, counters);
        } else {
            self.update_deadline(now);
        }
    }

    /// What it waits for, from both halves.
    pub fn update_deadline(&mut self, now: Instant) {
        let media = self.media.deadline(now).map(|at| at.max(now + MEDIA_PAUSE));
        self.deadline = [self.rtc_deadline, media].into_iter().flatten().min();
    }

    /// Says goodbye (DTLS close_notify).
    pub fn close(&mut self, now: Instant, batch: &mut Batch, counters: &mut Counters) {
        if self.connected && self.rtc.close().is_ok() {
            self.drain(now, batch, counters);
        }
        self.rtc.disconnect();
    }

    /// Takes the client's offer. `lines` is what [`sdp::scan`](crate::sdp::scan) read of it.
    pub fn accept_offer(&mut self, now: Instant, sdp: &str, lines: &[OfferedLine]) -> Result<String, String> {
        // An ICE-lite agent learns addresses from the checks that arrive. What a client claims would only make work.
        let sdp: String = sdp.split_inclusive('\n').filter(|line| !line.starts_with("a=candidate:")).collect();
        // str0m's text holds pieces of the SDP, and addresses of our memory.
        let offer = SdpOffer::from_sdp_string(&sdp).map_err(|_| "it does not parse".to_owned())?;
        let lent = self.lend_streams();
        let answer = self.rtc.sdp_api().accept_offer(offer).map_err(|error| match error {
            RtcError::RemoteSdp(text) => text.chars().take(SDP_ERROR_CHARS).collect(),
            _ => "it does not fit what was negotiated".to_owned(),
        });
        let answer = match answer {
            Ok(answer) => answer.to_sdp_string(),
            Err(error) => {
                self.take_streams(lent);
                return Err(error);
            }
        };
        if self.local_ufrag() != self.ufrag {
            self.checks = Checks::default();
        }
        self.rtc_dirty = true;
        self.take_negotiated(now, lines);
        self.take_streams(lent);
        Ok(answer)
    }

    /// Whether a trickled candidate is one. It is not used: see [`Peer::accept_offer`].
    pub fn knows_candidate(candidate: &str) -> bool {
        Candidate::from_sdp_string(candidate).is_ok()
    }

    /// Its media came from this address just now.
    pub fn is_busy_at(&self, address: SocketAddr, now: Instant) -> bool {
        self.media.path.is_some_and(|path| path.remote == address && now < path.used + BUSY)
    }

    /// The client sends media of this kind on this m-line.
    pub fn receives_on(&self, mid: Mid, kind: Kind) -> bool {
        self.lines.iter().any(|line| line.mid == mid && line.kind == kind && line.receives)
    }

    /// The client takes media of this kind on this m-line.
    pub fn sends_on(&self, mid: Mid, kind: Kind) -> bool {
        self.lines.iter().any(|line| line.mid == mid && line.kind == kind && line.sends)
    }

    /// Sends on the signalling data channel; `false` if it is not open or too much waits in it.
    pub fn send_data(&mut self, data: Vec<u8>) -> bool {
        let taken = self.channel.push(data);
        self.rtc_dirty |= self.channel.feed(&mut self.rtc);
        taken
    }

    /// Follows the client's nomination. str0m as an ICE-lite agent stays with the first pair of the highest priority, and
    /// without checks of its own never learns that it broke: after a NAT gave the client another port, it would send
    /// into the void.
    fn note_path(&mut self, now: Instant, datagram: &Datagram<'_>, uses: bool, nominates: bool) {
        let (local, remote) = (datagram.destination, datagram.source);
        match &mut self.media.path {
            Some(path) if (path.local, path.remote) == (local, remote) => {
                path.used = if uses { now } else { path.used };
            }
            Some(path) if now < path.used + PATH_IDLE => {}
            _ if nominates => self.media.set_path(now, Path { local, remote, used: now }),
            _ => {}
        }
    }

    fn drain(&mut self, now: Instant, batch: &mut Batch, counters: &mut Counters) {
        self.rtc_dirty = false;
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(deadline)) => {
                    // str0m may name a time that has passed; ask again no sooner than the clock can tell apart.
                    self.rtc_deadline = Some(deadline.max(now + Duration::from_micros(100)));
                    break;
                }
                // Its RTCP about streams that it knows nothing of.
                Ok(Output::Transmit(transmit))
                    if matches!(demux::classify(&transmit.contents), Class::Rtp | Class::Rtcp) => {}
                Ok(Output::Transmit(transmit)) => {
                    counters.datagrams_sent += 1;
                    counters.bytes_sent += transmit.contents.len() as u64;
                    let stun = demux::classify(&transmit.contents) == Class::Stun;
                    let (source, destination) = match self.media.path {
                        Some(path) if !stun => (path.local, path.remote),
                        _ => (transmit.source, transmit.destination),
                    };
                    if !stun && self.media.path.is_none() {
                        // Not nominated yet, but DTLS goes there.
                        self.media.path = Some(Path {
                            local: source,
                            remote: destination,
                            used: now.checked_sub(PATH_IDLE).unwrap_or(now),
                        });
                    }
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
        // What arrived may have made room for more, which leaves with the next call.
        if self.channel.feed(&mut self.rtc) {
            self.rtc_dirty = true;
            self.rtc_deadline = Some(now);
        }
        self.update_deadline(now);
    }

    fn fail(&mut self, error: &RtcError) {
        tracing::debug!(peer = %self.id, %error, "peer failed");
        self.give_up();
    }

    fn handle_event(&mut self, now: Instant, event: str0m::Event, counters: &mut Counters) {
        use str0m::Event;
        match event {
            Event::Connected => {
                self.last_received = now;
                if self.media.take_keys() {
                    self.connected = true;
                    self.events.push_back(PeerEvent::Connected);
                } else {
                    self.events.push_back(PeerEvent::Gone(DisconnectReason::Failed));
                }
            }
            Event::Closed => self.events.push_back(PeerEvent::Gone(DisconnectReason::Closed)),
            Event::ChannelOpen(id, label) if label == SIGNALLING_CHANNEL => self.channel.open(id),
            Event::ChannelClose(id) if self.channel.close(id) => {
                self.events.push_back(PeerEvent::DataClosed);
            }
            Event::ChannelData(data) if !self.channel.is(data.id) => counters.data_messages_dropped += 1,
            Event::ChannelData(data) => match self.channel.admit(now, data.data.len()) {
                true => {
                    counters.data_messages_received += 1;
                    self.events.push_back(PeerEvent::Data(data.data));
                }
                // A part that is left out would spoil what comes after it.
                false => {
                    counters.data_messages_dropped += 1;
                    self.give_up();
                }
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
