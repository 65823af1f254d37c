//! A lean client, sans-IO: str0m as its control half (SDP, full ICE, DTLS), and a media half of its own that is cheap
//! enough for hundreds of receivers on one core. It does what a browser does towards the server (STUN, receiver reports,
//! transport-wide feedback, key frames on request) and counts exactly what it gets.

mod media;
pub mod outbox;
pub mod publisher;
pub mod rtcp;
pub mod rtp;
pub mod srtp;
pub mod subscription;
pub mod tap;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use focus_signaling::wire::{PublishedTrack, Source};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::rtp::Extension;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use self::outbox::Outbox;
use self::publisher::{MediaShape, Publisher};
use self::rtp::{Extender, ExtensionIds};
use self::srtp::Srtp;
use self::subscription::{Faults, Subscription};

/// What a client is for.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Unique among the clients of a run.
    pub id: u16,
    pub publish: Option<MediaShape>,
    /// Video tracks that are published besides and never carry a packet.
    pub idle_tracks: usize,
    /// Receiving m-lines.
    pub audio_slots: usize,
    pub video_slots: usize,
    /// How many of the video slots, the last ones, are for tracks that send nothing.
    pub idle_slots: usize,
}

impl Plan {
    /// One that neither publishes nor receives.
    pub fn bare(id: u16) -> Self {
        Self { id, publish: None, idle_tracks: 0, audio_slots: 0, video_slots: 0, idle_slots: 0 }
    }
}

/// See the module.
pub struct Client {
    pub plan: Plan,
    pub publisher: Option<Publisher>,
    pub subscriptions: Vec<Subscription>,
    pub faults: Faults,
    pub connected_at: Option<Instant>,
    pub first_media_at: Option<Instant>,
    /// The association is broken; why.
    pub failed: Option<String>,
    /// Nanoseconds from stamp to arrival of decrypted packets, while it is wanted.
    pub latencies: Option<Vec<u64>>,
    /// When the kernel got the datagram that is handed in next, by the clock of stamps: instead of the time of reading.
    pub arrived_at: Option<u64>,
    /// Nanoseconds from the kernel's stamp to the reading of decrypted packets, where there are stamps.
    pub waits: Vec<u64>,
    /// Only the heads of RTP packets come: nothing is decrypted.
    pub heads_only: bool,
    /// Beginning of the clock that stamps are taken from.
    epoch: Instant,
    local: SocketAddr,
    remote: Option<SocketAddr>,
    rtc: Rtc,
    rtc_deadline: Option<Instant>,
    keys: tap::Slot,
    srtp: Option<Srtp>,
    pending: Option<SdpPendingOffer>,
    ids: ExtensionIds,
    by_ssrc: BTreeMap<u32, usize>,
    /// SSRCs of retransmissions: known, but nothing to count.
    repairs: Vec<u32>,
    received: u64,
    transport_sequence: u64,
    arrivals: Vec<(u64, u64)>,
    arrival_sequences: Extender,
    /// The first transport-wide number, and how many came.
    arrived: (Option<u64>, u64),
    feedback_count: u8,
    next_feedback: Option<Instant>,
    next_report: Option<Instant>,
    scratch: Vec<u8>,
}

impl Client {
    /// A client at `local` with its offer and what it publishes.
    pub fn new(
        now: Instant,
        epoch: Instant,
        local: SocketAddr,
        plan: Plan,
    ) -> Result<(Self, String, Vec<PublishedTrack>)> {
        let (mut rtc, keys) = Self::build(now, local)?;
        let mut api = rtc.sdp_api();
        let published = plan.publish.map(|shape| {
            let (kind, source) = match shape.audio {
                true => (MediaKind::Audio, Source::Microphone),
                false => (MediaKind::Video, Source::Camera),
            };
            (api.add_media(kind, Direction::SendOnly, None, None, None), source)
        });
        let idle: Vec<_> = (0..plan.idle_tracks)
            .map(|_| api.add_media(MediaKind::Video, Direction::SendOnly, None, None, None))
            .collect();
        let slots = [(MediaKind::Audio, plan.audio_slots), (MediaKind::Video, plan.video_slots)];
        let mut subscriptions = Vec::new();
        for kind in slots.into_iter().flat_map(|(kind, count)| std::iter::repeat_n(kind, count)) {
            let mid = api.add_media(kind, Direction::RecvOnly, None, None, None);
            subscriptions.push(Subscription::new(0, mid.to_string(), kind == MediaKind::Audio));
        }
        for subscription in subscriptions.iter_mut().rev().take(plan.idle_slots) {
            subscription.idle = true;
        }
        let (offer, pending) = api.apply().context("an offer without m-lines")?;
        let idle = idle.into_iter().map(|mid| (mid, Source::Camera));
        let tracks = published.iter().copied().chain(idle).map(|(mid, source)| {
            let size = |pixels| (source == Source::Camera).then_some(pixels);
            let mid = mid.to_string();
            PublishedTrack { mid, source, muted: false, enc: None, width: size(640), height: size(360) }
        });
        let tracks: Vec<PublishedTrack> = tracks.collect();
        let publisher = plan.publish.zip(published).map(|(shape, (mid, _))| {
            // SSRC and payload type are known with the answer.
            Publisher::new(shape, plan.id, 0, 0, mid.to_string())
        });
        let mut client = Self::with(rtc, keys, epoch, local, plan, subscriptions);
        client.publisher = publisher;
        client.pending = Some(pending);
        Ok((client, offer.to_sdp_string(), tracks))
    }

    /// A client that answers an offer of the server, and its answer. Every m-line is one that it receives on.
    pub fn answering(
        now: Instant,
        epoch: Instant,
        local: SocketAddr,
        plan: Plan,
        offer: &str,
        outbox: &mut Outbox,
    ) -> Result<(Self, String)> {
        let (mut rtc, keys) = Self::build(now, local)?;
        let answer = rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(offer)?)?;
        let mids = offer.lines().filter_map(|line| line.strip_prefix("a=mid:"));
        let audio = plan.audio_slots > 0;
        let subscriptions = mids.map(|mid| Subscription::new(0, mid.trim().to_owned(), audio)).collect();
        let mut client = Self::with(rtc, keys, epoch, local, plan, subscriptions);
        client.wire_up()?;
        client.handle_timeout(now, outbox);
        Ok((client, answer.to_sdp_string()))
    }

    fn build(now: Instant, local: SocketAddr) -> Result<(Rtc, tap::Slot)> {
        // No reports of str0m's own: what it sends as RTP or RTCP is dropped, see `drain`.
        let config = RtcConfig::new()
            .set_rtp_mode(true)
            .set_rtcp_report_interval_audio(Duration::from_secs(3600))
            .set_rtcp_report_interval_video(Duration::from_secs(3600))
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true);
        let (mut rtc, keys) = tap::build(config, now);
        rtc.add_local_candidate(Candidate::host(local, "udp")?);
        Ok((rtc, keys))
    }

    fn with(
        rtc: Rtc,
        keys: tap::Slot,
        epoch: Instant,
        local: SocketAddr,
        plan: Plan,
        subscriptions: Vec<Subscription>,
    ) -> Self {
        Self {
            plan,
            publisher: None,
            subscriptions,
            faults: Faults::default(),
            connected_at: None,
            first_media_at: None,
            failed: None,
            latencies: None,
            arrived_at: None,
            waits: Vec::new(),
            heads_only: false,
            epoch,
            local,
            remote: None,
            rtc,
            rtc_deadline: None,
            keys,
            srtp: None,
            pending: None,
            ids: ExtensionIds::default(),
            by_ssrc: BTreeMap::new(),
            repairs: Vec::new(),
            received: 0,
            transport_sequence: 0,
            arrivals: Vec::new(),
            arrival_sequences: Extender::default(),
            arrived: (None, 0),
            feedback_count: 0,
            next_feedback: None,
            next_report: None,
            scratch: Vec::new(),
        }
    }

    /// The server's answer: media is wired up, ICE begins.
    pub fn handle_answer(&mut self, now: Instant, sdp: &str, outbox: &mut Outbox) -> Result<()> {
        let pending = self.pending.take().context("an answer without an offer")?;
        let answer = SdpAnswer::from_sdp_string(sdp)?;
        self.rtc.sdp_api().accept_answer(pending, answer)?;
        self.wire_up()?;
        self.handle_timeout(now, outbox);
        Ok(())
    }

    /// Ids, payload types and SSRCs, as they were negotiated.
    fn wire_up(&mut self) -> Result<()> {
        let payload_type = |rtc: &Rtc, codec| {
            let params = rtc.codec_config().params().iter().find(|params| params.spec().codec == codec);
            params.map(|params| *params.pt()).context("the codec was refused")
        };
        let mids = self.publisher.iter().map(|p| &p.mid).chain(self.subscriptions.iter().map(|s| &s.mid));
        for mid in mids {
            let media = self.rtc.media(mid.as_str().into()).context("an m-line was refused")?;
            let extensions = media.remote_extmap();
            let id = |extension| extensions.id_of(extension).unwrap_or(0);
            self.ids.mid = self.ids.mid.max(id(Extension::RtpMid));
            self.ids.transport_sequence = self.ids.transport_sequence.max(id(Extension::TransportSequenceNumber));
            self.ids.audio_level = self.ids.audio_level.max(id(Extension::AudioLevel));
        }
        if let Some(publisher) = &mut self.publisher {
            let codec = if publisher.shape.audio { Codec::Opus } else { Codec::Vp8 };
            publisher.payload_type = payload_type(&self.rtc, codec)?;
            let mut direct = self.rtc.direct_api();
            let stream = direct.stream_tx_by_mid(publisher.mid.as_str().into(), None);
            publisher.ssrc = *stream.context("nothing to send on")?.ssrc();
        }
        for (index, subscription) in self.subscriptions.iter_mut().enumerate() {
            let mut direct = self.rtc.direct_api();
            let stream = direct.stream_rx_by_mid(subscription.mid.as_str().into(), None);
            let stream = stream.context("the answer names no SSRC for a slot")?;
            subscription.ssrc = *stream.ssrc();
            self.repairs.extend(stream.rtx().map(|ssrc| *ssrc));
            self.by_ssrc.insert(subscription.ssrc, index);
        }
        Ok(())
    }

    /// The wired-up subscriptions carry these publishers from now on, in order.
    pub fn expect(&mut self, slot: usize, publisher: u16) {
        self.subscriptions[slot].publisher = Some(publisher);
    }

    /// Transport-wide numbers that never came: packets that the server sealed for this client and that were lost after.
    pub fn transport_gap(&self) -> u64 {
        let span = self.arrival_sequences.highest().zip(self.arrived.0).map_or(0, |(to, from)| to + 1 - from);
        span.saturating_sub(self.arrived.1)
    }

    /// What DTLS agreed on.
    pub fn profile(&self) -> Option<str0m::crypto::dtls::SrtpProfile> {
        self.keys.get().map(|material| material.profile)
    }

    pub fn start_publishing(&mut self, at: Instant) {
        if let Some(publisher) = &mut self.publisher {
            publisher.start(at);
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        let publisher = self.publisher.as_ref().and_then(Publisher::deadline);
        [self.rtc_deadline, publisher, self.next_feedback, self.next_report].into_iter().flatten().min()
    }

    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, datagram: &[u8], outbox: &mut Outbox) {
        match datagram.first() {
            Some(128..=191) => self.handle_media(now, datagram),
            Some(first) => {
                if (20..=63).contains(first) {
                    // DTLS comes by the path that ICE chose; so shall our media go.
                    self.remote = Some(source);
                }
                let Ok(contents) = datagram.try_into() else { return };
                let receive = Receive { proto: Protocol::Udp, source, destination: self.local, contents };
                self.input(now, Input::Receive(now, receive), outbox);
            }
            None => {}
        }
    }

    pub fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox) {
        if self.rtc_deadline.is_none_or(|at| at <= now) {
            self.input(now, Input::Timeout(now), outbox);
        }
        if let Some(remote) = self.remote {
            outbox.destination = remote;
        }
        if let Err(error) = self.send_media(now, outbox) {
            self.failed = Some(error.to_string());
        }
    }

    fn input(&mut self, now: Instant, input: Input<'_>, outbox: &mut Outbox) {
        let result = self.rtc.handle_input(input).map_err(|error| anyhow!(error));
        if let Err(error) = result.and_then(|()| self.drain(now, outbox)) {
            self.failed = Some(error.to_string());
        }
        if !self.rtc.is_alive() {
            self.failed.get_or_insert_with(|| "the association ended".to_owned());
            self.rtc_deadline = None;
        }
    }

    fn drain(&mut self, now: Instant, outbox: &mut Outbox) -> Result<()> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => {
                    self.rtc_deadline = Some(at.max(now + Duration::from_micros(100)));
                    return Ok(());
                }
                Output::Transmit(transmit) => {
                    // Media is ours: two writers under one SRTP key would use nonces twice.
                    if !matches!(transmit.contents.first(), Some(128..=191)) {
                        let start = outbox.begin();
                        outbox.destination = transmit.destination;
                        outbox.buffer().extend_from_slice(&transmit.contents);
                        outbox.end(start);
                    }
                }
                Output::Event(Event::Connected) => {
                    let material = self.keys.get().context("connected without keys")?;
                    self.srtp = Some(Srtp::new(material, material.active)?);
                    self.connected_at = Some(now);
                }
                Output::Event(_) => {}
            }
        }
    }
}
