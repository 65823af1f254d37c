//! The media half of a peer: its SRTP, what it receives and what it is sent. The control half is str0m's; see
//! [`Peer`](crate::peer::Peer).

mod flush;
mod incoming;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use slab::Slab;

pub use self::flush::Scratch;
use crate::feedback::Congestion;
use crate::feedback::estimator::START_BPS;
use crate::id::Mid;
use crate::io::Kind;
use crate::keys;
use crate::receive::{ReceiveLine, Receiver};
use crate::send::history::TICK_MS;
use crate::send::{Outgoing, Sender, SenderLine};
use crate::srtp::Session;

/// Video packets that wait for the pacer: two seconds of 20 Mbit/s. What is older has left its ring.
const VIDEO_QUEUE_MAX: usize = 4096;
/// Sound waits for nothing but the flush: a turn's worth of a room that speaks all at once.
const AUDIO_QUEUE_MAX: usize = 1024;
/// Room that an empty queue keeps.
const QUEUE_KEPT: usize = 64;
/// Requests for retransmission that wait for the next flush.
const NACKS_MAX: usize = 512;
/// Sender reports: once a second while there is something to report (RFC 3550 §6.2 allows less than 5 s for sessions
/// of few).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Before the first report of the client.
const RTT_FIRST: Duration = Duration::from_millis(100);

/// Between which of our addresses and which of the client's everything but STUN goes.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// Media or DTLS came on it.
    pub used: Instant,
}

/// See the module.
#[derive(Debug)]
pub struct MediaHalf {
    pub path: Option<Path>,
    keys: keys::Slot,
    /// From the end of the handshake on.
    srtp: Option<Box<Session>>,
    pub receiver: Receiver,
    senders: Slab<Sender>,
    /// Which sender has an SSRC, its RTX SSRC, or an m-line.
    by_ssrc: BTreeMap<u32, u16>,
    by_mid: BTreeMap<Mid, u16>,
    /// Waits for the pacer.
    video: VecDeque<Outgoing>,
    /// Waits for nothing but the flush.
    audio: Vec<Outgoing>,
    nacks: Vec<(u16, u16)>,
    /// M-lines whose pictures the client has lost.
    keyframe_asks: Vec<Mid>,
    /// From the first packet that is sent on.
    congestion: Option<Box<Congestion>>,
    /// It negotiated transport-wide feedback for what it gets.
    tells_arrivals: bool,
    /// It told its own estimate.
    told_remb: bool,
    /// More is wanted of it, bits per second, than is sent; told when it is made.
    wanted: u64,
    rtt: Option<Duration>,
    /// Ticks of the history count from here.
    epoch: Instant,
    next_reports: Option<Instant>,
    /// What retransmission may still cost, in bytes: see `flush`.
    again_budget: usize,
}

impl MediaHalf {
    pub fn new(now: Instant, keys: keys::Slot) -> Self {
        Self {
            path: None,
            keys,
            srtp: None,
            receiver: Receiver::default(),
            senders: Slab::new(),
            by_ssrc: BTreeMap::new(),
            by_mid: BTreeMap::new(),
            video: VecDeque::new(),
            audio: Vec::new(),
            nacks: Vec::new(),
            keyframe_asks: Vec::new(),
            congestion: None,
            tells_arrivals: false,
            told_remb: false,
            wanted: 0,
            rtt: None,
            epoch: now,
            next_reports: None,
            again_budget: flush::AGAIN_BUDGET_FIRST,
        }
    }

    /// The handshake is through; `false` if its keys are of no use.
    pub fn take_keys(&mut self) -> bool {
        match self.keys.session() {
            // A second session of the same keys would begin its numbers anew.
            _ if self.srtp.is_some() => true,
            Some(Ok(session)) => {
                self.srtp = Some(Box::new(session));
                true
            }
            _ => false,
        }
    }

    /// The client negotiated. A sender stays with its SSRC as long as that exists: numbers must not come twice.
    pub fn set_lines(&mut self, now: Instant, receive: Vec<ReceiveLine>, send: Vec<SenderLine>) {
        self.receiver.set_lines(receive);
        self.senders
            .retain(|_, sender| send.iter().any(|line| line.mid == sender.line.mid && line.ssrc == sender.line.ssrc));
        self.by_mid.retain(|_, key| self.senders.contains(usize::from(*key)));
        for line in send {
            let known = self.by_mid.get(&line.mid).copied().map(usize::from);
            match known.and_then(|key| self.senders.get_mut(key)).filter(|sender| sender.line.ssrc == line.ssrc) {
                Some(sender) => sender.set_line(line),
                // The SSRC is random: as good as another random number.
                None => {
                    let (mid, rtx_first) = (line.mid, (line.ssrc >> 8) as u16);
                    self.by_mid.insert(mid, self.senders.insert(Sender::new(line, rtx_first)) as u16);
                }
            }
        }
        let tells = |sender: &Sender| sender.line.active && sender.line.extensions.transport_cc.is_some();
        self.tells_arrivals = self.senders.iter().any(|(_, sender)| tells(sender));
        if let Some(congestion) = &mut self.congestion {
            congestion.set_transport_wide(now, self.tells_arrivals);
        }
        self.by_ssrc.clear();
        for (key, sender) in &self.senders {
            self.by_ssrc.insert(sender.line.ssrc, key as u16);
            self.by_ssrc.extend(sender.line.rtx_ssrc.map(|ssrc| (ssrc, key as u16)));
        }
    }

    /// Main and RTX SSRC of each m-line to the client.
    pub fn ssrcs(&self) -> impl Iterator<Item = (Mid, u32, Option<u32>)> {
        self.senders.iter().map(|(_, sender)| (sender.line.mid, sender.line.ssrc, sender.line.rtx_ssrc))
    }

    /// What was negotiated, for each sender.
    pub fn sender_lines(&self) -> Vec<SenderLine> {
        self.senders.iter().map(|(_, sender)| sender.line.clone()).collect()
    }

    /// The sender of an m-line.
    pub fn sender(&self, mid: Mid) -> Option<u16> {
        self.by_mid.get(&mid).copied()
    }

    pub fn sender_at(&self, key: u16) -> Option<&Sender> {
        self.senders.get(usize::from(key))
    }

    /// Round-trip time to the client and back.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Largest share lost of anything that the client gets, in its last report.
    pub fn downlink_loss(&self) -> f32 {
        let worst = self.senders.iter().map(|(_, sender)| sender.fraction_lost).max().unwrap_or(0);
        f32::from(worst) / 256.0
    }

    /// `false`: it was full, and something is lost; of video the oldest.
    pub fn push(&mut self, kind: Kind, outgoing: Outgoing) -> bool {
        match kind {
            Kind::Video => {
                let full = self.video.len() >= VIDEO_QUEUE_MAX;
                if full {
                    self.video.pop_front();
                }
                self.video.push_back(outgoing);
                !full
            }
            Kind::Audio if self.audio.len() >= AUDIO_QUEUE_MAX => false,
            Kind::Audio => {
                self.audio.push(outgoing);
                true
            }
        }
    }

    /// Gives memory back that a burst took.
    pub fn rest(&mut self) {
        if self.video.is_empty() && self.video.capacity() > QUEUE_KEPT {
            self.video.shrink_to(QUEUE_KEPT);
        }
        if self.audio.is_empty() && self.audio.capacity() > QUEUE_KEPT {
            self.audio.shrink_to(QUEUE_KEPT);
        }
    }

    /// Another track comes on this m-line, or none: what waits of the old one does not leave any more.
    pub fn begin(&mut self, sender: u16) {
        self.video.retain(|outgoing| outgoing.sender != sender);
        self.audio.retain(|outgoing| outgoing.sender != sender);
        self.nacks.retain(|(other, _)| *other != sender);
        if let Some(sender) = self.senders.get_mut(usize::from(sender)) {
            sender.begin();
        }
    }

    /// What the path to the client carries, in bits per second, as far as is known; `None` if the client does not tell.
    pub fn limit(&self) -> Option<u64> {
        if !self.tells_arrivals && !self.told_remb {
            return None;
        }
        Some(self.congestion.as_ref().map_or(START_BPS as u64, |congestion| congestion.bitrate()))
    }

    /// The path showed lately that it carries no more.
    pub fn is_congested(&self, now: Instant) -> bool {
        !self.tells_arrivals && self.told_remb
            || self.congestion.as_ref().is_some_and(|congestion| congestion.is_congested(now))
    }

    /// The client is reached there from now on.
    pub fn set_path(&mut self, now: Instant, path: Path) {
        self.path = Some(path);
        if let Some(congestion) = &mut self.congestion {
            congestion.begin_path(now);
        }
    }

    /// What would be sent if the path carried everything.
    pub fn set_wanted(&mut self, bitrate: u64) {
        self.wanted = bitrate;
        if let Some(congestion) = &mut self.congestion {
            congestion.set_wanted(bitrate);
        }
    }

    /// An m-line whose picture the client has lost.
    pub fn poll_keyframe_ask(&mut self) -> Option<Mid> {
        self.keyframe_asks.pop()
    }

    /// Something is there to be sent at once.
    pub fn is_pending(&self, now: Instant) -> bool {
        let may_send = self.congestion.as_ref().is_none_or(|congestion| congestion.may_send(now));
        !self.audio.is_empty() || !self.nacks.is_empty() || !self.video.is_empty() && may_send
    }

    /// When [`MediaHalf::send_rtcp`] or a flush has something to do.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        self.srtp.as_ref()?;
        let congestion = self.congestion.as_ref();
        let paced = congestion.filter(|_| !self.video.is_empty()).map(|congestion| congestion.next_send_at(now));
        let probe = congestion.and_then(|congestion| congestion.deadline());
        [self.next_reports, self.receiver.deadline(), paced, probe].into_iter().flatten().min()
    }

    fn ticks(&self, now: Instant) -> u32 {
        (now.saturating_duration_since(self.epoch).as_millis() / u128::from(TICK_MS)) as u32
    }
}
