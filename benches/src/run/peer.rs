//! A participant's peer connection: the `webrtc` crate, a stack that shares no code with the server's.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use focus_signaling::channel::LABEL;
use focus_signaling::wire::{Offer, PublishedTrack};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::interceptor_registry::{
    Registry, configure_nack, configure_rtcp_reports, configure_twcc,
};
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_OPUS, MIME_TYPE_RTX, MIME_TYPE_VP8, MediaEngine};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability, RTCRtpRtxParameters, RtpCodecKind,
};
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCPeerConnectionState, RTCSessionDescription,
    SettingEngineBuilder,
};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

use super::media::{Feed, layers};
use super::person::Person;
use super::plan::{Plan, Source};
use super::tap::{AUDIO_LEVEL, Encoding, MID, Outlet, RID, Tap};

/// From one ICE check to the next, where the stack would wait 200 ms: its pace is not to be what a join time shows.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);
/// Checks until a pair is given up: ten seconds of them.
const CHECKS_MAX: u16 = 1000;
const OPUS: u8 = 111;
const VP8: u8 = 96;
const VP8_RTX: u8 = 97;

/// See the module.
pub struct Peer {
    connection: Arc<dyn PeerConnection>,
    /// The first m-line, if there is one.
    pub channel: Option<Arc<dyn DataChannel>>,
    senders: Vec<Arc<TrackLocalStaticRTP>>,
    slots: Vec<Source>,
    tracks: Vec<PublishedTrack>,
}

/// Notes what becomes of the connection.
struct Watch(Arc<Person>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Watch {
    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            RTCPeerConnectionState::Connected => {
                self.0.record().connected_at.get_or_insert_with(Instant::now);
            }
            RTCPeerConnectionState::Failed => self.0.fail("the media connection failed"),
            _ => {}
        }
    }
}

impl Peer {
    /// Sets up everything that `person` sends and receives.
    pub async fn new(
        plan: &Plan,
        person: &Arc<Person>,
        epoch: Instant,
        local: IpAddr,
        with_channel: bool,
    ) -> Result<Self> {
        let seat = plan.seat(person.number);
        let first_mid = usize::from(with_channel);
        let published = plan.published(seat);
        // m-lines come in the order in which they are added, and the stack numbers their mids from 0.
        let (mut outlets, mut senders) = (Vec::new(), Vec::new());
        for (mid, source) in (first_mid..).zip(&published) {
            let (track, encodings) = track(*source, plan.simulcast);
            senders.push(Arc::new(TrackLocalStaticRTP::new(track)));
            let feed = Feed::new(*source, person.number as u32, plan.simulcast, (seat, plan.participants));
            outlets.push(Outlet { feed, mid: mid.to_string(), encodings });
        }
        let (engine, registry) = engine()?;
        let tap = Tap::new(person.clone(), epoch, outlets);
        // Beyond all named slots: the end of the chain.
        let registry = registry.with(1_000_000.into(), tap);
        let settings = SettingEngineBuilder::new()
            .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(CHECKS_MAX))
            .with_host_acceptance_min_wait(Some(Duration::ZERO))
            .build();
        let connection = PeerConnectionBuilder::new()
            .with_setting_engine(settings)
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(Watch(person.clone())))
            .with_udp_addrs(vec![(local, 0)])
            .build()
            .await?;
        let channel = match with_channel {
            true => Some(connection.create_data_channel(LABEL, None).await?),
            false => None,
        };
        let tracks = (first_mid..).zip(&published).map(|(mid, source)| published_track(mid, *source, plan));
        let tracks = tracks.collect();
        Ok(Self { connection: Arc::new(connection), channel, senders, slots: plan.slots(seat), tracks })
    }

    /// Mid of the first published track; those that receive follow.
    pub fn first_mid(&self) -> usize {
        usize::from(self.channel.is_some())
    }

    /// An offer of the data channel, and nothing else.
    pub async fn offer_channel(&self) -> Result<Offer> {
        self.offer(Vec::new()).await
    }

    /// An offer of everything.
    pub async fn offer_media(&mut self) -> Result<Offer> {
        for sender in self.senders.drain(..) {
            let init = RTCRtpTransceiverInit { direction: RTCRtpTransceiverDirection::Sendonly, ..Default::default() };
            self.connection.add_transceiver_from_track(sender, Some(init)).await?;
        }
        for source in self.slots.drain(..) {
            let init = RTCRtpTransceiverInit { direction: RTCRtpTransceiverDirection::Recvonly, ..Default::default() };
            self.connection.add_transceiver_from_kind(kind(source), Some(init)).await?;
        }
        self.offer(self.tracks.clone()).await
    }

    /// `seq` is not known here.
    async fn offer(&self, tracks: Vec<PublishedTrack>) -> Result<Offer> {
        let offer = self.connection.create_offer(None).await?;
        self.connection.set_local_description(offer.clone()).await?;
        Ok(Offer { sdp: offer.sdp, seq: 0, tracks })
    }

    pub async fn accept(&self, answer: String) -> Result<()> {
        let answer = RTCSessionDescription::answer(answer)?;
        self.connection.set_remote_description(answer).await.context("the answer")
    }

    pub async fn close(&self) {
        // Nothing to be done about a connection that does not close.
        let _ = self.connection.close().await;
    }
}

fn kind(source: Source) -> RtpCodecKind {
    if source.is_audio() { RtpCodecKind::Audio } else { RtpCodecKind::Video }
}

fn published_track(mid: usize, source: Source, plan: &Plan) -> PublishedTrack {
    let largest = layers(source, plan.simulcast).last();
    PublishedTrack {
        mid: mid.to_string(),
        source: source.wire(),
        muted: false,
        enc: None,
        width: largest.map(|layer| layer.width.into()),
        height: largest.map(|layer| layer.height.into()),
    }
}

fn track(source: Source, simulcast: bool) -> (MediaStreamTrack, Vec<Encoding>) {
    let rids: Vec<&'static str> = match source.is_audio() {
        true => vec![""],
        false => layers(source, simulcast).iter().map(|layer| layer.rid).collect(),
    };
    let codec = if source.is_audio() { opus() } else { vp8() };
    let (mut codings, mut encodings) = (Vec::new(), Vec::new());
    for rid in rids {
        let ssrc = rand::random();
        let rtx = (!source.is_audio()).then(|| RTCRtpRtxParameters { ssrc: rand::random() });
        let coding = RTCRtpCodingParameters { rid: rid.to_owned(), ssrc: Some(ssrc), rtx, fec: None };
        codings.push(RTCRtpEncodingParameters {
            rtp_coding_parameters: coding,
            active: true,
            codec: codec.clone(),
            ..Default::default()
        });
        encodings.push(Encoding::new(ssrc, rid));
    }
    let name = source.name().to_owned();
    let id = format!("{name}-{:08x}", rand::random::<u32>());
    (MediaStreamTrack::new("bench".to_owned(), id, name, kind(source), codings), encodings)
}

fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

fn vp8() -> RTCRtpCodec {
    let fir = RTCPFeedback { typ: "ccm".to_owned(), parameter: "fir".to_owned() };
    RTCRtpCodec {
        mime_type: MIME_TYPE_VP8.to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: String::new(),
        rtcp_feedback: vec![fir],
    }
}

/// Two codecs only: an offer with many slots stays small.
fn engine() -> Result<(MediaEngine, Registry)> {
    let mut engine = MediaEngine::default();
    let rtx = RTCRtpCodec {
        mime_type: MIME_TYPE_RTX.to_owned(),
        sdp_fmtp_line: format!("apt={VP8}"),
        rtcp_feedback: Vec::new(),
        ..vp8()
    };
    for (rtp_codec, payload_type, kind) in
        [(opus(), OPUS, RtpCodecKind::Audio), (vp8(), VP8, RtpCodecKind::Video), (rtx, VP8_RTX, RtpCodecKind::Video)]
    {
        engine.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, kind)?;
    }
    for (uri, kind) in [
        (MID, RtpCodecKind::Audio),
        (MID, RtpCodecKind::Video),
        (RID, RtpCodecKind::Video),
        (AUDIO_LEVEL, RtpCodecKind::Audio),
    ] {
        let extension = RTCRtpHeaderExtensionCapability { uri: uri.to_owned() };
        engine.register_header_extension(extension, kind, None)?;
    }
    let registry = configure_nack(Registry::new(), &mut engine);
    let registry = configure_twcc(configure_rtcp_reports(registry), &mut engine)?;
    Ok((engine, registry))
}

/// The SSRC of each m-line of an answer, by mid; of a group with its repair stream the first (RFC 5576 §4.2).
pub fn ssrcs(answer: &str) -> Vec<(String, u32)> {
    let mut found: Vec<(String, u32)> = Vec::new();
    for section in answer.split("\nm=").skip(1) {
        let value = |name: &str| section.lines().find_map(|line| line.trim_end().strip_prefix(name).map(str::to_owned));
        let Some(mid) = value("a=mid:") else { continue };
        let group = value("a=ssrc-group:FID ").or_else(|| value("a=ssrc:"));
        let ssrc = group.and_then(|group| group.split(' ').next().and_then(|ssrc| ssrc.parse().ok()));
        found.extend(ssrc.map(|ssrc| (mid, ssrc)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_found_in_an_answer() {
        let answer = "v=0\r\nm=audio 9 RTP 111\r\na=mid:0\r\na=recvonly\r\nm=video 9 RTP 96\r\na=mid:1\r\n\
            a=ssrc:7 cname:x\r\na=ssrc-group:FID 5 7\r\na=ssrc:5 cname:x\r\nm=audio 9 RTP 111\r\na=mid:2\r\na=ssrc:9 cname:x\r\n";
        assert_eq!(ssrcs(answer), [("1".to_owned(), 5), ("2".to_owned(), 9)]);
        assert!(ssrcs("nonsense").is_empty());
    }
}
