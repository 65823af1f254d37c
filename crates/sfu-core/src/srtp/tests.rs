use super::*;

pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let digit = |b: u8| char::from(b).to_digit(16).expect("a hex digit") as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn pair(profile: Profile) -> (Session, Session) {
    let material: Vec<u8> = (0..2 * (profile.key_length() + profile.salt_length()) as u8).collect();
    let session = |client| Session::new(profile, &material, client).expect("keys");
    (session(true), session(false))
}

const PROFILES: [Profile; 3] = [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::Aes128CmSha1_80];

fn header(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut header = vec![0x80, 96];
    header.extend(sequence.to_be_bytes());
    header.extend([0, 0, 0, 1]);
    header.extend(ssrc.to_be_bytes());
    header
}

fn seal(session: &Session, ssrc: u32, sequence: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 1500];
    out[..12].copy_from_slice(&header(ssrc, sequence as u16));
    let length = session.outbound.seal_rtp(ssrc, sequence, 12, payload, &mut out);
    out.truncate(length);
    out
}

#[test]
fn rtp_round_trip_over_the_roll_over() {
    for profile in PROFILES {
        let (client, mut server) = pair(profile);
        for sequence in 65_530..65_545u64 {
            let mut packet = seal(&client, 9, sequence, b"frame");
            assert_eq!(packet.len(), 12 + 5 + profile.rtp_overhead());
            assert!(!packet.windows(5).any(|window| window == b"frame"));
            let (index, payload) = server.inbound.open_rtp(9, sequence as u16, 12, &mut packet).expect("genuine");
            assert_eq!((index, &packet[payload]), (sequence, &b"frame"[..]), "{profile:?}");
        }
    }
}

#[test]
fn changed_replayed_and_short_packets_are_refused() {
    for profile in PROFILES {
        let (client, mut server) = pair(profile);
        let packet = seal(&client, 9, 100, b"frame");
        for place in 0..packet.len() {
            let mut changed = packet.clone();
            changed[place] ^= 1;
            let ssrc = u32::from_be_bytes([changed[8], changed[9], changed[10], changed[11]]);
            let sequence = u16::from_be_bytes([changed[2], changed[3]]);
            let opened = server.inbound.open_rtp(ssrc, sequence, 12, &mut changed);
            assert_eq!(opened, Err(OpenError::Forged), "{profile:?} {place}");
        }
        for length in 0..12 + profile.rtp_overhead() {
            let opened = server.inbound.open_rtp(9, 100, 12, &mut packet.clone()[..length]);
            assert_eq!(opened, Err(OpenError::Short));
        }
        assert!(server.inbound.open_rtp(9, 100, 12, &mut packet.clone()).is_ok());
        assert_eq!(server.inbound.open_rtp(9, 100, 12, &mut packet.clone()), Err(OpenError::Replayed));
    }
}

#[test]
fn forged_packets_leave_no_trace() {
    let (client, mut server) = pair(Profile::AeadAes128Gcm);
    for ssrc in 0..1000 {
        let mut junk = header(ssrc, 60_000);
        junk.extend([7; 40]);
        assert_eq!(server.inbound.open_rtp(ssrc, 60_000, 12, &mut junk), Err(OpenError::Forged));
    }
    let mut packet = seal(&client, 5, 1, b"frame");
    assert_eq!(server.inbound.open_rtp(5, 1, 12, &mut packet).map(|(index, _)| index), Ok(1));
}

#[test]
fn rtcp_round_trip_and_refusals() {
    for profile in PROFILES {
        let (mut client, mut server) = pair(profile);
        let report = [0x80, 201, 0, 1, 1, 2, 3, 4, 9, 9, 9, 9];
        for round in 0..3 {
            let mut out = [0; 200];
            let length = client.outbound.seal_rtcp(&report, &mut out).expect("sealed");
            assert_eq!(length, report.len() + profile.rtcp_overhead());
            let sealed = out[..length].to_vec();
            for place in 0..length {
                let mut changed = sealed.clone();
                changed[place] ^= 1;
                assert!(server.inbound.open_rtcp(&mut changed).is_err(), "{profile:?} {round} {place}");
            }
            let mut packet = sealed.clone();
            let opened = server.inbound.open_rtcp(&mut packet).expect("genuine");
            assert_eq!(packet[..opened], report);
            assert_eq!(server.inbound.open_rtcp(&mut sealed.clone()), Err(OpenError::Replayed));
        }
    }
}

#[test]
fn rtcp_of_an_ended_source_cannot_be_replayed() {
    let (mut client, mut server) = pair(Profile::AeadAes128Gcm);
    let mut out = [0; 200];
    let length = client.outbound.seal_rtcp(&[0x80, 201, 0, 1, 1, 2, 3, 4], &mut out).expect("sealed");
    assert!(server.inbound.open_rtcp(&mut out[..length].to_vec()).is_ok());
    server.inbound.end(0x0102_0304);
    assert_eq!(server.inbound.open_rtcp(&mut out[..length].to_vec()), Err(OpenError::Replayed));
}

/// RFC 7714 §16.1.1 gives session key and salt, so this goes below the key derivation.
#[test]
fn published_gcm_vector() {
    use aws_lc_rs::aead::{AES_128_GCM, LessSafeKey, UnboundKey};
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &hex("000102030405060708090a0b0c0d0e0f")).expect("key"));
    let salt: [u8; 12] = hex("517569642070726f2071756f").try_into().expect("12 bytes");
    let cipher = cipher::Cipher::Gcm { key, salt };
    let header = hex("8040f17b8041f8d35501a0b2");
    let payload = hex("47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573");
    let mut out = vec![0; payload.len() + 16];
    cipher.seal(cipher::Index { ssrc: 0x5501_a0b2, index: 0xf17b }, &header, &[], &payload, &mut out);
    let expected = "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833
                    899d7f27beb16a9152cf765ee4390cce";
    assert_eq!(out, hex(expected));
}
