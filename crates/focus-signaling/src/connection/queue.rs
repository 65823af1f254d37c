//! Text frames that the socket has not taken yet.

use std::{collections::VecDeque, fmt};

use crate::limits::{QUEUED_BYTES_MAX, QUEUED_MESSAGES_MAX};

/// How much waits to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Queued {
    pub messages: usize,
    pub bytes: usize,
}

#[derive(Default)]
pub(super) struct Queue {
    texts: VecDeque<String>,
    bytes: usize,
}

/// The bound is reached.
#[derive(Debug)]
pub(super) struct Full;

impl Queue {
    /// A single text is taken whatever its size, so that the bound never makes a message impossible.
    pub(super) fn push(&mut self, text: String) -> Result<(), Full> {
        let bytes = self.bytes.saturating_add(text.len());
        if !self.texts.is_empty() && (self.texts.len() >= QUEUED_MESSAGES_MAX || bytes > QUEUED_BYTES_MAX) {
            return Err(Full);
        }
        self.bytes = bytes;
        self.texts.push_back(text);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<String> {
        let text = self.texts.pop_front()?;
        self.bytes -= text.len();
        Some(text)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn queued(&self) -> Queued {
        Queued { messages: self.texts.len(), bytes: self.bytes }
    }
}

/// Without the texts: a `welcome` carries a secret.
impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.queued().fmt(f)
    }
}
