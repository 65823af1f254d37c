//! Opening what was sealed, what was changed since, and what never was.

#![no_main]

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use sfu_core::{
    rtp::header::{Fixed, Header, HeaderWriter},
    srtp::{Profile, Session},
};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    profile: u8,
    packets: Vec<Sent<'a>>,
}

#[derive(Debug, Arbitrary)]
enum Sent<'a> {
    Rtp { step: u8, ssrc: u8, payload: &'a [u8], change: Option<(u16, u8)>, cut: Option<u16> },
    Rtcp { payload: &'a [u8], change: Option<(u16, u8)>, cut: Option<u16> },
    Any { rtcp: bool, bytes: &'a [u8] },
}

const MATERIAL: [u8; 88] = [0x5a; 88];
/// Nothing is ever sealed with these: a fuzzer sees what is compared with a sealed packet, and would send it back.
const UNUSED_MATERIAL: [u8; 88] = [0xa5; 88];
const PROFILES: [Profile; 3] = [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::Aes128CmSha1_80];

fuzz_target!(|input: Input<'_>| {
    let profile = PROFILES[usize::from(input.profile) % PROFILES.len()];
    let mut sender = Session::new(profile, &MATERIAL, true).expect("keys").outbound;
    let mut receiver = Session::new(profile, &MATERIAL, false).expect("keys").inbound;
    let mut stranger = Session::new(profile, &UNUSED_MATERIAL, false).expect("keys").inbound;
    let mut sequence = 0_u64;
    for sent in input.packets.into_iter().take(32) {
        match sent {
            Sent::Rtp { step, ssrc, payload, change, cut } => {
                sequence += 1 + u64::from(step) * 64;
                let payload = &payload[..payload.len().min(1200)];
                let mut packet = vec![0; 40 + payload.len() + profile.rtp_overhead()];
                let fixed = Fixed {
                    payload_type: 96,
                    marker: true,
                    sequence: sequence as u16,
                    timestamp: 1,
                    ssrc: ssrc.into(),
                };
                let mut writer = HeaderWriter::new(&mut packet, fixed);
                writer.extension(4, b"0");
                let header = writer.finish();
                let length = sender.seal_rtp(ssrc.into(), sequence, header, payload, &mut packet);
                packet.truncate(length);
                let sealed = packet.clone();
                spoil(&mut packet, change, cut);
                let spoiled = packet != sealed;
                let opened = open_rtp(&mut receiver, &mut packet);
                assert!(!(spoiled && opened.is_some()), "opened what was changed");
                // What is whole may stay closed, too: a source that is first heard after a roll-over.
                if let Some(opened) = opened {
                    assert_eq!(opened, payload);
                    assert_eq!(open_rtp(&mut receiver, &mut sealed.clone()), None, "opened twice");
                }
            }
            Sent::Rtcp { payload, change, cut } => {
                let mut plain = vec![0x80, 201, 0, 1, 0, 0, 0, 9];
                plain.extend(&payload[..payload.len().min(1200)]);
                let mut packet = vec![0; plain.len() + profile.rtcp_overhead()];
                let length = sender.seal_rtcp(&plain, &mut packet).expect("under 2^31");
                packet.truncate(length);
                let sealed = packet.clone();
                spoil(&mut packet, change, cut);
                let spoiled = packet != sealed;
                match receiver.open_rtcp(&mut packet) {
                    Ok(length) => {
                        assert!(!spoiled, "opened what was changed");
                        assert_eq!(packet[..length], plain);
                        assert!(receiver.open_rtcp(&mut sealed.clone()).is_err(), "opened twice");
                    }
                    Err(error) => assert!(spoiled, "{error}"),
                }
            }
            Sent::Any { rtcp: true, bytes } => {
                assert!(stranger.open_rtcp(&mut bytes.to_vec()).is_err(), "opened what nobody sealed");
                if receiver.open_rtcp(&mut bytes.to_vec()).is_ok() {
                    return; // A packet of a former run: its index is used from here on.
                }
            }
            Sent::Any { rtcp: false, bytes } => {
                assert_eq!(open_rtp(&mut stranger, &mut bytes.to_vec()), None, "opened what nobody sealed");
                if open_rtp(&mut receiver, &mut bytes.to_vec()).is_some() {
                    return;
                }
            }
        }
    }
});

fn open_rtp(receiver: &mut sfu_core::srtp::Inbound, packet: &mut [u8]) -> Option<Vec<u8>> {
    let header = Header::parse(packet)?;
    let (_, payload) = receiver.open_rtp(header.ssrc, header.sequence, header.length, packet).ok()?;
    Some(packet[payload].to_vec())
}

fn spoil(packet: &mut Vec<u8>, change: Option<(u16, u8)>, cut: Option<u16>) {
    if let Some((at, xor)) = change {
        let at = usize::from(at) % packet.len();
        packet[at] ^= xor;
    }
    if let Some(cut) = cut {
        packet.truncate(usize::from(cut));
    }
}
