//! What SDP negotiation came to, in our own terms: read from str0m after each offer, for the media half.

use std::collections::BTreeMap;
use std::time::Instant;

use str0m::format::{CodecSpec, PayloadParams};
use str0m::media::{Direction, Media, MediaKind};
use str0m::rtp::{Extension, ExtensionMap};

use super::{Line, Peer};
use crate::codec::{Codec, CodecName};
use crate::id::Mid;
use crate::io::Kind;
use crate::receive::{ExtensionIds, ReceiveLine, ReceivePayload};
use crate::sdp::OfferedLine;
use crate::send::SenderLine;

impl Peer {
    /// `lines` is what [`sdp::scan`](crate::sdp::scan) read of the offer that was accepted just now.
    pub(super) fn take_negotiated(&mut self, now: Instant, lines: &[OfferedLine]) {
        let params: BTreeMap<u8, (Codec, PayloadParams)> = self
            .rtc
            .codec_config()
            .params()
            .iter()
            .filter_map(|params| Some((*params.pt(), (codec(&params.spec())?, *params))))
            .collect();
        self.lines.clear();
        let (mut receive_lines, mut sender_lines) = (Vec::new(), Vec::new());
        for line in lines {
            let (Some(mid), Some(kind)) = (line.mid, line.kind) else { continue };
            let Some(media) = self.rtc.media(mid.as_str().into()) else { continue };
            let direction: Direction = media.direction();
            let kind_agrees = (media.kind() == MediaKind::Audio) == (kind == Kind::Audio);
            let payloads = payloads(media, &params);
            let extensions = extension_ids(media.remote_extmap());
            let usable = kind_agrees && !payloads.is_empty();
            let (receives, sends) = (usable && direction.is_receiving(), usable && direction.is_sending());
            self.lines.push(Line { mid, kind, receives, sends });
            if receives {
                let ssrcs = line.ssrcs.clone();
                receive_lines.push(ReceiveLine { mid, kind, payload_types: payloads.clone(), extensions, ssrcs });
            }
            if let Some((ssrc, rtx_ssrc)) = self.ssrcs_to_client(mid) {
                let payload_types = payloads.iter().map(|p| (p.number, p.codec, p.rtx)).collect();
                let extensions = extensions.one_byte();
                sender_lines.push(SenderLine { mid, kind, ssrc, rtx_ssrc, payload_types, extensions, active: sends });
            }
        }
        // str0m keeps what an offer leaves out, with its SSRC; so must we keep its numbers.
        for line in self.media.sender_lines() {
            let made = sender_lines.iter().any(|other| other.mid == line.mid);
            if !made && self.ssrcs_to_client(line.mid) == Some((line.ssrc, line.rtx_ssrc)) {
                sender_lines.push(SenderLine { active: false, ..line });
            }
        }
        self.media.set_lines(now, receive_lines, sender_lines);
    }

    /// Gives str0m the outgoing streams that it chose before, so that it chooses the same again. It only has them while it
    /// makes an answer: each costs it some 7 KB for retransmission, sender reports and statistics, which are not its
    /// business.
    pub(super) fn lend_streams(&mut self) -> Vec<u32> {
        let mut lent = Vec::new();
        for (mid, ssrc, rtx) in self.media.ssrcs() {
            let mid = mid.as_str().into();
            if self.rtc.media(mid).is_some() {
                self.rtc.direct_api().declare_stream_tx(ssrc.into(), rtx.map(Into::into), mid, None);
                lent.push(ssrc);
            }
        }
        lent
    }

    /// The opposite of [`Peer::lend_streams`].
    pub(super) fn take_streams(&mut self, lent: Vec<u32>) {
        let made = self.media.ssrcs().map(|(_, ssrc, _)| ssrc);
        for ssrc in lent.into_iter().chain(made) {
            self.rtc.direct_api().remove_stream_tx(ssrc.into());
        }
    }

    /// What str0m chose, and told the client, for what goes to it on this m-line.
    fn ssrcs_to_client(&mut self, mid: Mid) -> Option<(u32, Option<u32>)> {
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid.as_str().into(), None)?;
        Some((*stream.ssrc(), stream.rtx().map(|rtx| *rtx)))
    }
}

/// In the client's order of preference.
fn payloads(media: &Media, params: &BTreeMap<u8, (Codec, PayloadParams)>) -> Vec<ReceivePayload> {
    let of = |number: &u8| {
        let (codec, params) = params.get(number)?;
        let rtx = params.resend().map(|rtx| *rtx);
        Some(ReceivePayload { number: *number, codec: *codec, rtx, nack: params.fb_nack() })
    };
    media.remote_pts().iter().filter_map(|number| of(number)).collect()
}

fn extension_ids(map: &ExtensionMap) -> ExtensionIds {
    ExtensionIds {
        mid: map.id_of(Extension::RtpMid),
        rid: map.id_of(Extension::RtpStreamId),
        repaired_rid: map.id_of(Extension::RepairedRtpStreamId),
        audio_level: map.id_of(Extension::AudioLevel),
        transport_cc: map.id_of(Extension::TransportSequenceNumber),
        rotation: map.id_of(Extension::VideoOrientation),
    }
}

fn codec(spec: &CodecSpec) -> Option<Codec> {
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
