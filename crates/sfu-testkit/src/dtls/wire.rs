//! Records of the stand-in. The first byte is that of the DTLS content type (RFC 5246 §6.2.1), so that RFC 7983 demultiplexing sees DTLS.

use str0m::crypto::from_feature_flags;

pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const DATA: u8 = 23;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    ClientHello { random: [u8; 32], certificate: Vec<u8> },
    ServerHello { random: [u8; 32], echo: [u8; 32], certificate: Vec<u8> },
    ClientFinished { tag: [u8; 32] },
    ServerFinished { tag: [u8; 32] },
    Data { sequence: u64, tag: [u8; 32], data: Vec<u8> },
    Close { tag: [u8; 32] },
}

impl Record {
    pub(super) fn write(&self) -> Vec<u8> {
        let (content, kind): (u8, u8) = match self {
            Self::ClientHello { .. } => (HANDSHAKE, 1),
            Self::ServerHello { .. } => (HANDSHAKE, 2),
            Self::ClientFinished { .. } => (HANDSHAKE, 3),
            Self::ServerFinished { .. } => (HANDSHAKE, 4),
            Self::Data { .. } => (DATA, 5),
            Self::Close { .. } => (ALERT, 6),
        };
        let mut bytes = vec![content, 0xfe, 0xfd, kind];
        match self {
            Self::ClientHello { random, certificate } => {
                bytes.extend(random);
                bytes.extend(certificate);
            }
            Self::ServerHello { random, echo, certificate } => {
                bytes.extend(random);
                bytes.extend(echo);
                bytes.extend(certificate);
            }
            Self::ClientFinished { tag } | Self::ServerFinished { tag } | Self::Close { tag } => bytes.extend(tag),
            Self::Data { sequence, tag, data } => {
                bytes.extend(sequence.to_be_bytes());
                bytes.extend(tag);
                bytes.extend(data);
            }
        }
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (header, body) = bytes.split_first_chunk::<4>()?;
        if header[1..3] != [0xfe, 0xfd] {
            return None;
        }
        Some(match (header[0], header[3]) {
            (HANDSHAKE, 1) => {
                let (random, certificate) = body.split_first_chunk()?;
                Self::ClientHello { random: *random, certificate: certificate.to_vec() }
            }
            (HANDSHAKE, 2) => {
                let (random, rest) = body.split_first_chunk()?;
                let (echo, certificate) = rest.split_first_chunk()?;
                Self::ServerHello { random: *random, echo: *echo, certificate: certificate.to_vec() }
            }
            (HANDSHAKE, 3) => Self::ClientFinished { tag: body.try_into().ok()? },
            (HANDSHAKE, 4) => Self::ServerFinished { tag: body.try_into().ok()? },
            (DATA, 5) => {
                let (sequence, rest) = body.split_first_chunk()?;
                let (tag, data) = rest.split_first_chunk()?;
                Self::Data { sequence: u64::from_be_bytes(*sequence), tag: *tag, data: data.to_vec() }
            }
            (ALERT, 6) => Self::Close { tag: body.try_into().ok()? },
            _ => return None,
        })
    }
}

/// SHA-256 over the parts, each preceded by its length.
pub(super) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(*part);
    }
    from_feature_flags().sha256_provider.sha256(&bytes)
}
