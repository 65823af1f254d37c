//! Last wills that the focus can look after.

use focus_signaling::wire::ClientMessage;
use tokio::sync::mpsc;

/// Whoever looks after a participant's last will. Never waits.
pub trait Wills: Send + Sync {
    /// Signalling stands. What comes out is for the focus; each has a number for [`Self::answered`].
    fn connected(&self) -> mpsc::Receiver<(u64, ClientMessage)>;

    fn answered(&self, request: u64, is_held: bool);

    /// The focus has it no longer.
    fn lost(&self);

    fn disconnected(&self);
}
