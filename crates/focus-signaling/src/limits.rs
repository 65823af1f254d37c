//! Every bound of the dialect, with its reason. `docs/signalling.md` repeats them as a table.
//!
//! The four in [`wire::Limits`](crate::wire::Limits) are told to the client in `welcome`; the others are fixed.

use std::time::Duration;

use crate::wire::Limits;

/// Largest message. Holds the largest SDP, whose line ends JSON writes in four bytes instead of two, and what is around it.
pub const MESSAGE_BYTES_MAX: usize = 1280 * 1024;
/// Largest message before `welcome`. Only a `hello` is needed there, and nobody has shown a right to more yet.
pub const HELLO_BYTES_MAX: usize = 16 * 1024;
/// Largest SDP: 4 KiB for each m-line. Chromium 156 writes 0.9 KiB for a receiving audio m-line and 4.9 KiB for a video one
/// with all its codecs (3.3 KiB with those that we forward): 740 KiB for 128 of each (510 KiB), measured.
pub const SDP_BYTES_MAX: usize = 1024 * 1024;
/// m-lines in one offer.
pub const M_LINES_MAX: usize = 256;
/// Tracks that one participant publishes. Four sources, each a few times.
pub const PUBLISHED_TRACKS_MAX: usize = 16;
/// Wants in one `subscribe`: twice the m-lines, so that every slot can be freed and filled in one message.
pub const WANTS_MAX: usize = 2 * M_LINES_MAX;
/// Keys in one `announce`: LiveKit's key ring has as many places, and a receiver needs the last two or three.
pub const KEYS_MAX: usize = 16;
/// A salt: 16 bytes as base64url without padding.
pub const SALT_CHARS: usize = 22;
/// A mid. The media stack keeps mids in 16 bytes; browsers count from 0.
pub const MID_BYTES_MAX: usize = 16;
/// Ids that the focus mints: tracks, sessions, participants.
pub const ID_BYTES_MAX: usize = 32;
/// A resume secret.
pub const SECRET_BYTES_MAX: usize = 64;
/// A token: a JWT of this dialect has some 500 bytes, and up to 1.5 KiB with the longest names.
pub const TOKEN_BYTES_MAX: usize = 4096;
/// Free text that names the client software.
pub const CLIENT_BYTES_MAX: usize = 64;
/// One ICE candidate attribute. The longest a browser writes has some 200 bytes.
pub const CANDIDATE_BYTES_MAX: usize = 512;
/// Name of a frame encryption format.
pub const FORMAT_BYTES_MAX: usize = 32;
/// Width or height. VP8 holds 14 bits of each (RFC 6386 §9.1), and no camera or screen comes near.
pub const DIMENSION_MAX: u32 = 16_384;
/// Frames per second.
pub const FPS_MAX: u32 = 240;
/// `code` of `leave`.
pub const LEAVE_CODE_BYTES_MAX: usize = 64;
/// `reason` of `leave`.
pub const LEAVE_REASON_BYTES_MAX: usize = 256;
/// `id`, `re`, `seq` and `n`: the largest integer that JavaScript holds exactly.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;
/// `error` of an `error`: enough for a field path and a sentence, too little to reflect a message back.
pub const ERROR_BYTES_MAX: usize = 256;

/// Messages per second that a client may send for ever. A client that renegotiates sends two or three.
pub const MESSAGES_PER_SECOND: u32 = 50;
/// A burst may hold this many seconds' worth of messages: a layout change in a large call comes all at once.
pub const BURST_SECONDS: u32 = 2;
/// A message counts once for each of these that it begins, so that 50 messages a second cannot be 62 MiB a second.
pub const BYTES_PER_COUNT: usize = 16 * 1024;
/// A client that was refused this often within [`REFUSED_WINDOW`] does not listen, and is closed with 4429.
pub const REFUSED_MAX: u32 = 200;
pub const REFUSED_WINDOW: Duration = Duration::from_secs(10);
/// Malformed messages until the socket is closed with 4400. A correct client sends none.
pub const MALFORMED_MAX: u32 = 20;

/// Id of a delayed event, as homeservers make them and then some.
pub const DELAY_ID_BYTES_MAX: usize = 255;
/// A Matrix user id has 255 bytes, and the name is a part of it.
pub const SERVER_NAME_BYTES_MAX: usize = 253;

/// Time until `hello`: a token is fetched before the socket is opened.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// `ping_ms` of `welcome`.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Silence that ends a socket: three missed pings.
pub const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long our own side may take to close after `leave` before the socket is closed anyway.
pub const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// `resume_ms` of `welcome`: how long a session without a socket is kept.
pub const RESUME_TIMEOUT: Duration = Duration::from_secs(30);

/// Messages that wait for a slow reader. A join into a full conference queues a few hundred.
pub const QUEUED_MESSAGES_MAX: usize = 4096;
/// Bytes that wait for a slow reader. The `welcome` of a conference of 1000 has about 1 MiB.
pub const QUEUED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Requests that wait for our own side to poll; a burst fits, and what does not is refused like any excess.
pub const QUEUED_REQUESTS_MAX: usize = 256;

const _: () = assert!(SDP_BYTES_MAX + SDP_BYTES_MAX / 8 < MESSAGE_BYTES_MAX);
const _: () = assert!(TOKEN_BYTES_MAX + CLIENT_BYTES_MAX + 1024 < HELLO_BYTES_MAX);
const _: () = assert!(QUEUED_REQUESTS_MAX > (MESSAGES_PER_SECOND * BURST_SECONDS) as usize);
// The largest message must fit into a burst, or it could never be sent.
const _: () = assert!(MESSAGE_BYTES_MAX.div_ceil(BYTES_PER_COUNT) <= (MESSAGES_PER_SECOND * BURST_SECONDS) as usize);
// Refusals are answered, and the answers must not fill the queue before the rate limit closes the socket.
const _: () = assert!((REFUSED_MAX as usize) < QUEUED_MESSAGES_MAX);

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: MESSAGE_BYTES_MAX,
            messages_per_second: MESSAGES_PER_SECOND,
            published_tracks: PUBLISHED_TRACKS_MAX,
            m_lines: M_LINES_MAX,
        }
    }
}
