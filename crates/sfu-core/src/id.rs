//! Opaque ids. The core knows no user, room or name; whoever drives it maps these to its own words.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:x}"), self.0)
            }
        }

        impl $name {
            /// Reads what `Display` writes.
            pub fn parse(text: &str) -> Option<Self> {
                let digits = text.strip_prefix($prefix)?;
                // `from_str_radix` takes a sign and any number of zeros; one id has one spelling.
                let id = Self(u64::from_str_radix(digits, 16).ok()?);
                (id.to_string() == text).then_some(id)
            }
        }
    };
}

id!(
    /// What one focus forwards for one session.
    ConferenceId, "c"
);
id!(
    /// An authorised member connected to a focus.
    ParticipantId, "p"
);
id!(
    /// One WebRTC association. A participant that joins afresh gets a new one.
    PeerId, "a"
);
id!(
    /// A published media source.
    TrackId, "t"
);
id!(
    /// Where relayed packets go to and come from: another worker of this process, or another focus.
    LinkId, "l"
);

/// Identification of an m-line (RFC 8843 `mid`), at most 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mid(SmallId);

/// Identification of a simulcast encoding (RFC 8851 `rid`), at most 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rid(SmallId);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct SmallId {
    len: u8,
    bytes: [u8; SmallId::MAX],
}

impl SmallId {
    /// What str0m keeps of either; longer ones are cut there, so we refuse them.
    const MAX: usize = 16;

    fn new(text: &str) -> Option<Self> {
        // What str0m keeps as it is; it makes all else one character, and two ids might become one.
        let token = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        if text.is_empty() || text.len() > Self::MAX || !text.as_bytes().iter().all(token) {
            return None;
        }
        let mut bytes = [0; Self::MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self { len: text.len() as u8, bytes })
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

macro_rules! small_id {
    ($name:ident) => {
        impl $name {
            /// `None` if it is empty, longer than 16 bytes, or holds anything but letters, digits and `_`.
            pub fn new(text: &str) -> Option<Self> {
                SmallId::new(text).map(Self)
            }

            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

small_id!(Mid);
small_id!(Rid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        assert_eq!(TrackId::parse(&TrackId(0xab).to_string()), Some(TrackId(0xab)));
        for other in ["ab", "p1", "t", "t+1", "t01", "tAB", "t-1", "t 1", "t11111111111111111"] {
            assert_eq!(TrackId::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_mid_is_a_short_token() {
        assert_eq!(Mid::new("0").map(|m| m.to_string()).as_deref(), Some("0"));
        for bad in ["", "a b", "12345678901234567", "ä", "a\r\n"] {
            assert!(Mid::new(bad).is_none(), "{bad:?}");
        }
    }
}
