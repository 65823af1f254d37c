//! First-byte demultiplexing of one UDP port (RFC 7983 §7), before any parser sees a datagram.

/// What a datagram is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Stun,
    Dtls,
    /// RTP, by its payload type (RFC 5761 §4).
    Rtp,
    Rtcp,
    Junk,
}

/// Smallest STUN message: the header (RFC 8489 §5).
const STUN_HEADER: usize = 20;
const STUN_MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Smallest RTP header (RFC 3550 §5.1), and smallest SRTCP packet with index (RFC 3711 §3.4).
const RTP_HEADER: usize = 12;
const SRTCP_MINIMUM: usize = 12;
/// Smallest DTLS record header (RFC 6347 §4.1).
const DTLS_HEADER: usize = 13;
/// Attributes looked at in one STUN message; a real one has under ten.
const STUN_ATTRIBUTES_MAX: usize = 32;
const STUN_USERNAME: u16 = 0x0006;
const STUN_USE_CANDIDATE: u16 = 0x0025;

/// Classifies a datagram. Anything too short for its class is [`Class::Junk`].
#[must_use]
pub fn classify(datagram: &[u8]) -> Class {
    let length = datagram.len();
    match datagram.first() {
        Some(0..=3) if length >= STUN_HEADER && datagram.get(4..8) == Some(&STUN_MAGIC_COOKIE) => Class::Stun,
        Some(20..=63) if length >= DTLS_HEADER => Class::Dtls,
        // RTCP packet types 192–223 are RTP payload types 64–95 with the marker bit set, which nobody uses.
        Some(128..=191) => match datagram.get(1) {
            Some(192..=223) if length >= SRTCP_MINIMUM => Class::Rtcp,
            Some(byte) if !(192..=223).contains(byte) && length >= RTP_HEADER => Class::Rtp,
            _ => Class::Junk,
        },
        _ => Class::Junk,
    }
}

/// Whether a STUN message is a binding request: only those name their receiver.
#[must_use]
pub fn is_binding_request(datagram: &[u8]) -> bool {
    datagram.get(..2) == Some(&[0x00, 0x01])
}

/// The user fragment of the receiver in a STUN binding request: what stands before the colon in its USERNAME
/// (RFC 8445 §7.2.2). It tells whose it is, not yet that it is genuine.
#[must_use]
pub fn stun_local_ufrag(datagram: &[u8]) -> Option<&str> {
    if classify(datagram) != Class::Stun || !is_binding_request(datagram) {
        return None;
    }
    let name = std::str::from_utf8(stun_attribute(datagram, STUN_USERNAME)?).ok()?;
    name.split_once(':').map(|(local, _)| local)
}

/// Whether a STUN message nominates the pair that it came on (RFC 8445 §7.1.2).
#[must_use]
pub fn stun_nominates(datagram: &[u8]) -> bool {
    stun_attribute(datagram, STUN_USE_CANDIDATE).is_some()
}

fn stun_attribute(message: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = message.get(STUN_HEADER..)?;
    for _ in 0..STUN_ATTRIBUTES_MAX {
        let kind = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
        let length = usize::from(u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]));
        let value = rest.get(4..4 + length)?;
        if kind == wanted {
            return Some(value);
        }
        rest = rest.get(4 + length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stun(attributes: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 1];
        message.extend((attributes.len() as u16).to_be_bytes());
        message.extend(STUN_MAGIC_COOKIE);
        message.extend([7; 12]);
        message.extend(attributes);
        message
    }

    #[test]
    fn classes_by_first_byte() {
        assert_eq!(classify(&stun(&[])), Class::Stun);
        assert_eq!(classify(&[22; 40]), Class::Dtls);
        let mut rtp = [0u8; 40];
        rtp[0] = 0x80;
        rtp[1] = 0x80 | 96;
        assert_eq!(classify(&rtp), Class::Rtp);
        rtp[1] = 200;
        assert_eq!(classify(&rtp), Class::Rtcp);
        for junk in [&[][..], &[0; 19], &[22; 12], &[0x80], &[0x80, 96], &[64; 100], &[255; 100], &[0; 40]] {
            assert_eq!(classify(junk), Class::Junk, "{junk:?}");
        }
    }

    #[test]
    fn the_ufrag_before_the_colon_is_the_receivers() {
        let attributes =
            [0x80, 0x22, 0, 3, 1, 2, 3, 0, 0, 6, 0, 9, b'a', b'b', b'c', b'd', b':', b'e', b'f', b'g', b'h', 0, 0, 0];
        assert_eq!(stun_local_ufrag(&stun(&attributes)), Some("abcd"));
        for cut in 0..attributes.len() - 3 {
            let _ = stun_local_ufrag(&stun(&attributes[..cut]));
        }
        assert!(!stun_nominates(&stun(&attributes)));
        assert!(stun_nominates(&stun(&[0, 0x25, 0, 0])));
        let mut response = stun(&attributes);
        response[0] = 1;
        assert_eq!(stun_local_ufrag(&response), None);
    }
}
