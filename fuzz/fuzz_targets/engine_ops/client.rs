//! A client whose stack is str0m's, as the engine's own tests have it.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use sfu_core::{
    demux::{self, Class},
    rtp::header::Header,
};
use sfu_testkit::dtls::insecure_provider;
use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::{SdpAnswer, SdpPendingOffer},
    channel::ChannelId,
    format::Codec,
    media::{Direction, KeyframeRequestKind, MediaKind, Mid},
    net::{Protocol, Receive},
    rtp::RtpWrite,
};

/// The last byte of each payload tells the conference, so that nobody gets what is not for him.
pub struct Client {
    pub address: SocketAddr,
    pub conference: u8,
    /// By index: audio, video, and what further offers added.
    pub mids: Vec<Mid>,
    pub last_sent: Vec<u8>,
    pub lose: u8,
    pub connected: bool,
    /// Somebody else has spoken in its name, so that it may not understand the answers that it gets.
    pub confused: bool,
    rtc: Rtc,
    pending: Option<SdpPendingOffer>,
    channel: Option<ChannelId>,
    sequences: [u64; 2],
    /// Sealed packets by SSRC and sequence number: one of them twice is one nonce twice (RFC 7714 §8.4).
    sealed: BTreeMap<(u32, u16), Vec<u8>>,
}

impl Client {
    pub fn new(now: Instant, index: u8, conference: u8) -> Self {
        let address = SocketAddr::from(([10, 0, 0, 2], 1000 + u16::from(index)));
        let mut rtc = RtcConfig::new()
            .set_rtp_mode(true)
            .set_crypto_provider(insecure_provider(100 + u64::from(index)))
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("candidate"));
        Self {
            address,
            conference,
            mids: Vec::new(),
            last_sent: Vec::new(),
            lose: 0,
            connected: false,
            confused: false,
            rtc,
            pending: None,
            channel: None,
            sequences: [1; 2],
            sealed: BTreeMap::new(),
        }
    }

    /// An offer with more m-lines, perhaps with new ICE credentials. `None`: the last one awaits its answer, or nothing changed.
    pub fn offer(&mut self, add: &[(MediaKind, Direction)], restart: bool) -> Option<String> {
        if self.pending.is_some() || !self.rtc.is_alive() || self.mids.len() > 8 {
            return None;
        }
        let mut api = self.rtc.sdp_api();
        for (kind, direction) in add {
            self.mids.push(api.add_media(*kind, *direction, None, None, None));
        }
        if self.channel.is_none() {
            self.channel = Some(api.add_channel(sfu_core::SIGNALLING_CHANNEL.to_owned()));
        }
        if restart {
            api.ice_restart(true);
        }
        let (offer, pending) = api.apply()?;
        self.pending = Some(pending);
        Some(offer.to_sdp_string())
    }

    pub fn answer(&mut self, sdp: &str) {
        let answer = SdpAnswer::from_sdp_string(sdp).expect("the engine's answer parses");
        if let Some(pending) = self.pending.take()
            && let Err(error) = self.rtc.sdp_api().accept_answer(pending, answer)
        {
            assert!(self.confused, "the engine's answer does not fit: {error}");
        }
    }

    /// Its peer is a new one, with new keys.
    pub fn reconnected(&mut self, conference: u8) {
        self.conference = conference;
        self.sealed.clear();
    }

    pub fn refused(&mut self) {
        self.pending = None;
    }

    pub fn send_rtp(&mut self, now: Instant, video: bool, step: u8, payload: &[u8]) {
        let media = usize::from(video);
        let codec = if video { Codec::Vp8 } else { Codec::Opus };
        let pt = self.rtc.codec_config().params().iter().find(|p| p.spec().codec == codec).map(|p| p.pt());
        let sequence = self.sequences[media].saturating_add_signed(i64::from(step.cast_signed()) % 32);
        self.sequences[media] = sequence;
        let mut direct = self.rtc.direct_api();
        let Some((pt, stream)) = pt.zip(direct.stream_tx_by_mid(self.mids[media], None)) else { return };
        let mut payload = payload[..payload.len().min(1100)].to_vec();
        payload.push(self.conference);
        stream.write_rtp(RtpWrite::new(pt, sequence.into(), sequence as u32 * 960, now, payload).marker(true));
    }

    pub fn request_keyframe(&mut self) {
        let mids = self.mids.clone();
        let mut direct = self.rtc.direct_api();
        for mid in mids {
            if let Some(stream) = direct.stream_rx_by_mid(mid, None) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
    }

    pub fn send_data(&mut self, length: u16) {
        if let Some(mut channel) = self.channel.and_then(|id| self.rtc.channel(id)) {
            let _ = channel.write(true, &vec![7; usize::from(length)]);
        }
    }

    pub fn close(&mut self) {
        let _ = self.rtc.close();
    }

    pub fn tick(&mut self, now: Instant, to_engine: &mut VecDeque<(SocketAddr, Vec<u8>)>) {
        if self.rtc.is_alive() {
            let _ = self.rtc.handle_input(Input::Timeout(now));
        }
        self.drain(to_engine);
    }

    pub fn take(
        &mut self,
        now: Instant,
        source: SocketAddr,
        bytes: &[u8],
        to_engine: &mut VecDeque<(SocketAddr, Vec<u8>)>,
    ) {
        if demux::classify(bytes) == Class::Rtp
            && let Some(header) = Header::parse(bytes)
        {
            let before = self.sealed.entry((header.ssrc, header.sequence)).or_insert_with(|| bytes.to_vec());
            assert_eq!(before, bytes, "one sequence number for two packets");
        }
        if self.lose > 0 {
            self.lose -= 1;
            return;
        }
        if let Ok(receive) = Receive::new(Protocol::Udp, source, self.address, bytes)
            && self.rtc.is_alive()
        {
            let _ = self.rtc.handle_input(Input::Receive(now, receive));
        }
        self.drain(to_engine);
    }

    fn drain(&mut self, to_engine: &mut VecDeque<(SocketAddr, Vec<u8>)>) {
        while self.rtc.is_alive() {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => {
                    self.last_sent = transmit.contents.to_vec();
                    to_engine.push_back((self.address, self.last_sent.clone()));
                }
                Ok(Output::Event(Event::Connected)) => self.connected = true,
                Ok(Output::Event(Event::ChannelOpen(id, _))) => self.channel = Some(id),
                Ok(Output::Event(Event::RtpPacket(packet))) => {
                    assert_eq!(packet.payload.last(), Some(&self.conference), "media of another conference");
                }
                Ok(Output::Event(_)) => {}
                Ok(Output::Timeout(_)) | Err(_) => return,
            }
        }
    }
}
