//! Counts the WebSocket frames that a client sends (RFC 6455 §5.2), as they are read. What a message costs is counted by
//! [`focus_signaling::Connection`], but pings, pongs and fragments never become a message: the WebSocket library answers
//! or collects them, and a client could keep a core busy with frames of six bytes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// Frames, beside whole text messages, that a client may send for ever, and in a burst. Proxies ping once in many
/// seconds; a library that sends the largest message in fragments of 1 KiB makes 256.
const FRAMES_PER_SECOND: u32 = 50;
const FRAMES_BURST: u32 = 512;

const FINAL: u8 = 0x80;
const TEXT: u8 = 0x1;
const MASKED: u8 = 0x80;

/// Finds the headers in a stream of frames.
#[derive(Debug, Default)]
struct Headers {
    header: [u8; 14],
    have: usize,
    /// Payload that is still to come.
    payload: u64,
}

impl Headers {
    /// How many frames begin in `bytes` that are no whole text message.
    fn count(&mut self, mut bytes: &[u8]) -> u32 {
        let mut count = 0;
        loop {
            let skipped = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
            bytes = &bytes[skipped..];
            self.payload -= skipped as u64;
            let Some((first, rest)) = bytes.split_first() else { return count };
            self.header[self.have] = *first;
            self.have += 1;
            bytes = rest;
            if let Some(payload) = self.complete() {
                count += u32::from(self.header[0] & 0x8f != FINAL | TEXT);
                (self.have, self.payload) = (0, payload);
            }
        }
    }

    /// The payload's length, once the header is complete.
    fn complete(&self) -> Option<u64> {
        let length = match self.header[1] & !MASKED {
            126 => u64::from(u16::from_be_bytes([self.header[2], self.header[3]])),
            127 => {
                let [_, _, length @ .., _, _, _, _] = self.header;
                u64::from_be_bytes(length)
            }
            short => u64::from(short),
        };
        (self.have == self.size()).then_some(length)
    }

    /// Bytes of this header, as far as is known.
    fn size(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let mask = if self.header[1] & MASKED == 0 { 0 } else { 4 };
        mask + match self.header[1] & !MASKED {
            126 => 4,
            127 => 10,
            _ => 2,
        }
    }

    /// Bytes to the end of what has begun: a header or a payload.
    fn wanted(&self) -> usize {
        match usize::try_from(self.payload) {
            Ok(0) => self.size() - self.have,
            Ok(payload) => payload,
            Err(_) => usize::MAX,
        }
    }
}

/// A stream whose reader hears nothing more once there were too many frames. A header and a payload come each by itself:
/// so the reader has room for just the payload when it comes, and not for one and a half.
pub(super) struct Metered<S> {
    stream: S,
    headers: Headers,
    /// When the bucket is full again.
    full_at: Instant,
    excess: bool,
    tell: Arc<Notify>,
}

impl<S> Metered<S> {
    /// `excess` is told once.
    pub(super) fn new(stream: S, excess: Arc<Notify>) -> Self {
        Self { stream, headers: Headers::default(), full_at: Instant::now(), excess: false, tell: excess }
    }

    /// Whether the frames go beyond the pace.
    fn is_excess(&mut self, now: Instant, frames: u32) -> bool {
        let interval = Duration::from_secs(1) / FRAMES_PER_SECOND;
        self.full_at = self.full_at.max(now) + interval * frames;
        self.full_at > now + interval * FRAMES_BURST
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        if this.excess {
            // Nobody waits for this: the socket is being closed.
            return Poll::Pending;
        }
        let room = this.headers.wanted().min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
        let frames = this.headers.count(part.filled());
        let came = part.filled().len();
        buffer.advance(came);
        if frames > 0 && this.is_excess(Instant::now(), frames) {
            this.excess = true;
            this.tell.notify_one();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// A masked frame.
    fn frame(first: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload {
            ..126 => bytes.push(MASKED | payload as u8),
            126..65_536 => {
                bytes.push(MASKED | 126);
                bytes.extend((payload as u16).to_be_bytes());
            }
            _ => {
                bytes.push(MASKED | 127);
                bytes.extend((payload as u64).to_be_bytes());
            }
        }
        bytes.extend([7; 4]);
        // A payload that looks like pings.
        bytes.extend(std::iter::repeat_n([0x89, 0x80, 0, 0, 0, 0], payload / 6 + 1).flatten().take(payload));
        bytes
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        for payload in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            bytes.extend(frame(FINAL | TEXT, payload));
            bytes.extend(frame(0x89, 0));
            bytes.extend(frame(TEXT, payload));
            bytes.extend(frame(0x00, 0));
            bytes.extend(frame(FINAL, payload));
        }
        for cut in [1, 2, 3, 7, 1000, bytes.len()] {
            let mut headers = Headers::default();
            assert_eq!(bytes.chunks(cut).map(|chunk| headers.count(chunk)).sum::<u32>(), 8 * 4, "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn a_payload_comes_by_itself() {
        let payloads = [1, 125, 126, 65_536];
        let stream = payloads.map(|payload| frame(FINAL | TEXT, payload)).concat();
        let mut metered = Metered::new(&*stream, Arc::default());
        let mut buffer = vec![0; 1 << 17];
        let mut parts = Vec::new();
        while let Ok(length @ 1..) = metered.read(&mut buffer).await {
            parts.push(length);
        }
        assert_eq!(parts, [2, 4, 1, 2, 4, 125, 2, 6, 126, 2, 12, 65_536]);
    }

    #[test]
    fn frames_have_a_pace() {
        let start = Instant::now();
        let mut metered = Metered { full_at: start, ..Metered::new((), Arc::default()) };
        assert!((0..FRAMES_BURST).all(|_| !metered.is_excess(start, 1)));
        for second in 1..100 {
            assert!(!metered.is_excess(start + Duration::from_secs(second), FRAMES_PER_SECOND));
        }
        assert!(metered.is_excess(start + Duration::from_secs(99), 1));
    }
}
