//! `Debug` of what carries a credential, or says who somebody is elsewhere: it must not reach a log.

use std::fmt;

use crate::{
    connection::Output,
    wire::{DelegateLeave, Hello, Participant, Resume, Welcome},
};

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("v", &self.v)
            .field("token", &self.token.as_ref().map(|_| Hidden))
            .field("resume", &self.resume)
            .field("client", &self.client)
            .finish()
    }
}

impl fmt::Debug for DelegateLeave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelegateLeave")
            .field("delay_id", &Hidden)
            .field("delay_ms", &self.delay_ms)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resume").field("session", &self.session).field("secret", &Hidden).finish()
    }
}

impl fmt::Debug for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Welcome")
            .field("session", &self.session)
            .field("secret", &Hidden)
            .field("participant", &self.participant)
            .field("resumed", &self.resumed)
            .field("participants", &self.participants.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Participant")
            .field("id", &self.id)
            .field("identity", &self.identity.as_ref().map(|_| Hidden))
            .field("name", &self.name)
            .field("keys", &self.keys)
            .field("tracks", &self.tracks)
            .finish()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Request { id, message } => {
                f.debug_struct("Request").field("id", id).field("message", message).finish()
            }
            Self::Close { code } => write!(f, "Close({code})"),
            Self::Timeout(deadline, reason) => f.debug_tuple("Timeout").field(deadline).field(reason).finish(),
        }
    }
}

struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_do_not_show() {
        let resume = Resume { session: "s-1".into(), secret: "hunter2".into() };
        let hello = Hello { v: 1, token: Some("hunter2".into()), resume: Some(resume), client: None };
        let shown = format!("{hello:?}");
        assert!(shown.contains("s-1") && !shown.contains("hunter2"), "{shown}");
        let shown = format!("{:?}", Output::Text(r#"{"secret":"hunter2"}"#.into()));
        assert_eq!(shown, "Text(20 bytes)");
    }
}
