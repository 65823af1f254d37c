//! What passes between workers: a bounded ring for each, which all the others write to.
//!
//! Media may fill only a part of it. The rest is kept for the few relays that steer media (which layers exist, which are
//! wanted, key-frame requests): losing one of those costs more than a packet. All share one queue because their order
//! matters: the layers of a track are told before its first packet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use focus_control::WorkerId;
use sfu_core::RelayMessage;

/// Letters that wait at one worker: 40 ms of 100 000 packets per second. Who is further behind than that should drop.
const CAPACITY: usize = 4096;
/// Room that media never takes. Steering is at most some messages per second and track.
const KEPT_FOR_STEERING: usize = 512;

const _: () = assert!(KEPT_FOR_STEERING < CAPACITY);

/// One thing for another worker.
#[derive(Debug)]
pub(crate) enum Letter {
    /// A datagram that came to the wrong socket. `destination` is the candidate that it came to.
    Datagram {
        source: SocketAddr,
        destination: SocketAddr,
        contents: Box<[u8]>,
    },
    Relay {
        from: WorkerId,
        message: RelayMessage,
    },
}

impl Letter {
    fn is_steering(&self) -> bool {
        match self {
            Self::Datagram { .. } | Self::Relay { message: RelayMessage::Media { .. }, .. } => false,
            Self::Relay { .. } => true,
        }
    }
}

/// Letters that found no room. Written by the senders, so that none needs the receiver for it.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    pub(crate) datagrams: AtomicU64,
    pub(crate) media: AtomicU64,
    pub(crate) steering: AtomicU64,
    /// To a worker that does not exist.
    pub(crate) nowhere: AtomicU64,
}

/// The ring of one worker.
pub(crate) struct Mailbox {
    letters: ArrayQueue<Letter>,
    waker: Box<dyn Fn() + Send + Sync>,
    /// Its owner has been woken and has not looked yet: no need to wake it again.
    woken: AtomicBool,
}

impl Mailbox {
    pub(crate) fn new(waker: impl Fn() + Send + Sync + 'static) -> Self {
        Self { letters: ArrayQueue::new(CAPACITY), waker: Box::new(waker), woken: AtomicBool::new(false) }
    }

    /// Gets the owner out of its poll.
    pub(crate) fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            (self.waker)();
        }
    }

    /// Gives the letter back if there is no room. Several senders may overshoot the part of media by one letter each,
    /// which is why what is kept is far more than there can be workers.
    fn push(&self, letter: Letter) -> Result<(), Letter> {
        if !letter.is_steering() && self.letters.len() >= CAPACITY - KEPT_FOR_STEERING {
            return Err(letter);
        }
        self.letters.push(letter)?;
        self.wake();
        Ok(())
    }
}

/// All mailboxes, as one worker has them.
#[derive(Clone)]
pub(crate) struct Mailboxes {
    all: Arc<[Mailbox]>,
    me: WorkerId,
    dropped: Arc<Dropped>,
}

impl Mailboxes {
    pub(crate) fn new(all: Arc<[Mailbox]>, me: WorkerId, dropped: Arc<Dropped>) -> Self {
        Self { all, me, dropped }
    }

    /// Sends, or drops and counts.
    pub(crate) fn send(&self, to: WorkerId, letter: Letter) {
        let Some(mailbox) = self.all.get(to.0).filter(|_| to != self.me) else {
            self.dropped.nowhere.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if let Err(letter) = mailbox.push(letter) {
            let counter = match &letter {
                Letter::Datagram { .. } => &self.dropped.datagrams,
                letter if letter.is_steering() => &self.dropped.steering,
                Letter::Relay { .. } => &self.dropped.media,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Before reading: a letter that arrives from now on wakes the owner again.
    pub(crate) fn begin_reading(&self) {
        if let Some(own) = self.all.get(self.me.0) {
            own.woken.store(false, Ordering::Release);
            // Orders the store before the reads that follow: a letter is either read now or wakes again.
            std::sync::atomic::fence(Ordering::SeqCst);
        }
    }

    pub(crate) fn read(&self) -> Option<Letter> {
        self.all.get(self.me.0)?.letters.pop()
    }

    pub(crate) fn own_length(&self) -> usize {
        self.all.get(self.me.0).map_or(0, |own| own.letters.len())
    }
}

#[cfg(test)]
mod tests {
    use sfu_core::TrackId;

    use super::*;

    const A: WorkerId = WorkerId(0);
    const B: WorkerId = WorkerId(1);

    struct Pair {
        a: Mailboxes,
        b: Mailboxes,
        wakes: Arc<AtomicU64>,
        dropped: Arc<Dropped>,
    }

    fn pair() -> Pair {
        let wakes = Arc::new(AtomicU64::new(0));
        let count = wakes.clone();
        let ring = || {
            let count = count.clone();
            Mailbox::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            })
        };
        let all: Arc<[Mailbox]> = [ring(), ring()].into();
        let dropped = Arc::new(Dropped::default());
        let of = |me| Mailboxes::new(all.clone(), me, dropped.clone());
        Pair { a: of(A), b: of(B), wakes, dropped }
    }

    fn datagram(n: u8) -> Letter {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Letter::Datagram { source: address, destination: address, contents: [n].into() }
    }

    fn want(track: u64) -> Letter {
        Letter::Relay { from: A, message: RelayMessage::Want { track: TrackId(track), layers: Some(1) } }
    }

    #[test]
    fn letters_arrive_in_order_at_the_one_they_are_for() {
        let Pair { a, b, .. } = pair();
        a.send(B, datagram(1));
        a.send(B, want(2));
        a.send(B, datagram(3));
        assert!(a.read().is_none());
        b.begin_reading();
        assert!(matches!(b.read(), Some(Letter::Datagram { contents, .. }) if *contents == [1]));
        assert!(matches!(
            b.read(),
            Some(Letter::Relay { from: A, message: RelayMessage::Want { track: TrackId(2), .. } })
        ));
        assert!(matches!(b.read(), Some(Letter::Datagram { contents, .. }) if *contents == [3]));
        assert!(b.read().is_none());
    }

    #[test]
    fn one_wake_does_until_the_owner_reads() {
        let Pair { a, b, wakes, .. } = pair();
        a.send(B, datagram(1));
        a.send(B, datagram(2));
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        b.begin_reading();
        a.send(B, datagram(3));
        assert_eq!(wakes.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_flood_of_media_leaves_room_for_steering() {
        let Pair { a, b, dropped, .. } = pair();
        for n in 0..CAPACITY + 10 {
            a.send(B, datagram(n as u8));
        }
        assert_eq!(dropped.datagrams.load(Ordering::Relaxed), (KEPT_FOR_STEERING + 10) as u64);
        for track in 0..KEPT_FOR_STEERING {
            a.send(B, want(track as u64));
        }
        assert_eq!((b.own_length(), dropped.steering.load(Ordering::Relaxed)), (CAPACITY, 0));
        a.send(B, want(0));
        assert_eq!(dropped.steering.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_letter_to_nobody_is_counted() {
        let Pair { a, dropped, .. } = pair();
        a.send(WorkerId(7), datagram(1));
        a.send(A, datagram(1));
        assert_eq!((dropped.nowhere.load(Ordering::Relaxed), a.own_length()), (2, 0));
    }
}
