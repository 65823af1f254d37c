//! Why a socket is closed: the WebSocket close codes of the dialect (RFC 6455 §7.4; 4000–4999 are for applications).

use std::fmt;

/// Status code of the focus's close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseCode {
    /// The client left.
    Normal,
    /// The focus failed.
    Internal,
    /// The client does not speak the dialect.
    ProtocolError,
    /// The token or the resume secret is not accepted.
    BadToken,
    /// The participant was removed, or may not join.
    Forbidden,
    /// No `hello`, no message for too long, or a reader that is too slow.
    Timeout,
    /// The same identity joined again, or the session was resumed on another socket.
    Replaced,
    /// A message was larger than `limits.message_bytes`.
    TooLarge,
    /// The client went on after many `M_LIMIT_EXCEEDED`.
    RateLimited,
    /// The focus shuts down.
    Draining,
}

impl CloseCode {
    /// All of them, for tables and tests.
    pub const ALL: [Self; 10] = [
        Self::Normal,
        Self::Internal,
        Self::ProtocolError,
        Self::BadToken,
        Self::Forbidden,
        Self::Timeout,
        Self::Replaced,
        Self::TooLarge,
        Self::RateLimited,
        Self::Draining,
    ];

    pub fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::Internal => 1011,
            Self::ProtocolError => 4400,
            Self::BadToken => 4401,
            Self::Forbidden => 4403,
            Self::Timeout => 4408,
            Self::Replaced => 4409,
            Self::TooLarge => 4413,
            Self::RateLimited => 4429,
            Self::Draining => 4503,
        }
    }

    /// Text for the close frame.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "left",
            Self::Internal => "internal error",
            Self::ProtocolError => "protocol error",
            Self::BadToken => "bad token",
            Self::Forbidden => "forbidden",
            Self::Timeout => "timeout",
            Self::Replaced => "replaced",
            Self::TooLarge => "message too large",
            Self::RateLimited => "rate limited",
            Self::Draining => "draining",
        }
    }

    /// Whether the session ends with the socket. Otherwise it is kept and may be resumed: the fault was the socket's,
    /// and media goes on without one.
    pub fn ends_session(self) -> bool {
        match self {
            Self::Normal | Self::BadToken | Self::Forbidden | Self::Replaced | Self::Draining => true,
            Self::Internal | Self::ProtocolError | Self::Timeout | Self::TooLarge | Self::RateLimited => false,
        }
    }

    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_legal_in_a_close_frame() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_code(code.code()), Some(code));
            assert!(matches!(code.code(), 1000 | 1011 | 4000..=4999));
            assert!(code.reason().len() <= 123, "a control frame holds no more (RFC 6455 §5.5)");
        }
        assert_eq!(CloseCode::from_code(1006), None);
    }
}
