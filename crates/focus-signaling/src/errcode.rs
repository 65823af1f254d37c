//! The error codes of the dialect. They are Matrix errcodes, with the meaning that the Matrix specification gives them
//! where it has one: <https://spec.matrix.org/v1.16/client-server-api/#standard-error-response>.

use std::{fmt, time::Duration};

use crate::{limits::ERROR_BYTES_MAX, wire::ErrorBody};

/// What was wrong, as a program reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Errcode {
    /// The message is not JSON.
    NotJson,
    /// The message is JSON, but not of the right shape; the text names the field.
    BadJson,
    /// The client insisted (`critical`) on a message type that this focus does not know, or speaks another version.
    Unrecognized,
    /// The message, or a field of it, is larger than it may be.
    TooLarge,
    /// Too many messages; `retry_after_ms` says when the next one is accepted.
    LimitExceeded,
    /// The message does not fit the state: the first one is no `hello`, or there is a second `hello`.
    BadState,
    /// The value is well formed, but cannot be used, such as an SDP that the focus cannot answer.
    InvalidParam,
    /// The token or the resume secret is wrong, used up or expired.
    Unauthorized,
    /// The client is known and may not do this, or was removed.
    Forbidden,
    /// No such track, session or participant.
    NotFound,
    /// The focus is full.
    ResourceLimitExceeded,
    /// The client was silent for too long.
    ConnectionTimeout,
    /// The focus failed.
    Unknown,
}

impl Errcode {
    /// All of them, for tables and tests.
    pub const ALL: [Self; 13] = [
        Self::NotJson,
        Self::BadJson,
        Self::Unrecognized,
        Self::TooLarge,
        Self::LimitExceeded,
        Self::BadState,
        Self::InvalidParam,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::ResourceLimitExceeded,
        Self::ConnectionTimeout,
        Self::Unknown,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "M_NOT_JSON",
            Self::BadJson => "M_BAD_JSON",
            Self::Unrecognized => "M_UNRECOGNIZED",
            Self::TooLarge => "M_TOO_LARGE",
            Self::LimitExceeded => "M_LIMIT_EXCEEDED",
            Self::BadState => "M_BAD_STATE",
            Self::InvalidParam => "M_INVALID_PARAM",
            Self::Unauthorized => "M_UNAUTHORIZED",
            Self::Forbidden => "M_FORBIDDEN",
            Self::NotFound => "M_NOT_FOUND",
            Self::ResourceLimitExceeded => "M_RESOURCE_LIMIT_EXCEEDED",
            Self::ConnectionTimeout => "M_CONNECTION_TIMEOUT",
            Self::Unknown => "M_UNKNOWN",
        }
    }

    /// The code with a text for a developer, cut to [`ERROR_BYTES_MAX`].
    pub fn body(self, error: impl Into<String>) -> ErrorBody {
        ErrorBody { errcode: self.as_str().to_owned(), error: shorten(error.into()), retry_after_ms: None }
    }
}

impl fmt::Display for Errcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ErrorBody {
    /// Says when to try again; rounded up, so that a client which waits exactly that long is accepted.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let ms = wait.as_nanos().div_ceil(1_000_000);
        self.retry_after_ms = Some(u64::try_from(ms).unwrap_or(u64::MAX));
        self
    }
}

fn shorten(mut text: String) -> String {
    if text.len() > ERROR_BYTES_MAX {
        text.truncate(text.floor_char_boundary(ERROR_BYTES_MAX - '…'.len_utf8()));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_a_matrix_errcode_of_its_own() {
        let mut names: Vec<_> = Errcode::ALL.iter().map(|code| code.as_str()).collect();
        assert!(names.iter().all(|name| name.starts_with("M_")), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Errcode::ALL.len());
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let body = Errcode::BadJson.body("ä".repeat(500));
        assert!(body.error.len() <= ERROR_BYTES_MAX);
        assert!(body.error.ends_with("ä…"));
        assert_eq!(Errcode::BadJson.body("short").error, "short");
    }

    #[test]
    fn retry_after_rounds_up() {
        let body = Errcode::LimitExceeded.body("").retry_after(Duration::from_micros(20_001));
        assert_eq!(body.retry_after_ms, Some(21));
        assert_eq!(Errcode::Unknown.body("").retry_after(Duration::MAX).retry_after_ms, Some(u64::MAX));
    }
}
