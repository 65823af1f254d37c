//! Between a device, which owns its last will, and its signalling, which reaches the focus that can look after it.

use focus_signaling::wire::ClientMessage;
use tokio::sync::mpsc;

use super::device::Input;
use super::own::FocusNews;
use crate::run::wills::Wills;

/// A request at a time, and one to take it back.
const REQUESTS_MAX: usize = 4;

/// See the module.
#[derive(Debug, Clone)]
pub struct Loan {
    inbox: mpsc::WeakSender<Input>,
}

impl Loan {
    pub(super) fn new(inbox: mpsc::WeakSender<Input>) -> Self {
        Self { inbox }
    }

    fn tell(&self, news: FocusNews, line: Option<mpsc::Sender<(u64, ClientMessage)>>) {
        if let Some(inbox) = self.inbox.upgrade() {
            // A device that is so far behind keeps its last will itself in the end.
            let _ = inbox.try_send(Input::Focus { news, line });
        }
    }
}

impl Wills for Loan {
    fn connected(&self) -> mpsc::Receiver<(u64, ClientMessage)> {
        let (line, requests) = mpsc::channel(REQUESTS_MAX);
        self.tell(FocusNews::Connected, Some(line));
        requests
    }

    fn answered(&self, request: u64, is_held: bool) {
        self.tell(FocusNews::Answered { request, is_held }, None);
    }

    fn lost(&self) {
        self.tell(FocusNews::Lost, None);
    }

    fn disconnected(&self) {
        self.tell(FocusNews::Disconnected, None);
    }
}
