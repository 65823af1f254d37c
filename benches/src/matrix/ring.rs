//! The media keys of one member: its own one, and those that other members sent it. The task that talks to the homeserver
//! writes it, the media path reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use tokio::sync::watch;

use super::sframe::{Header, Key};
use crate::run::crypt::{Closed, Crypt};

/// Keys of one sender that are kept. One is in use, and the next one is on its way.
const KEYS_MAX: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct Ring {
    inner: Mutex<Inner>,
    index: watch::Sender<u32>,
    /// Numbers of the senders whose last frame did not open.
    closed: watch::Sender<BTreeSet<u32>>,
}

#[derive(Debug, Default)]
struct Inner {
    own: Option<Key>,
    /// Never twice under one key: it goes on when the key changes.
    counter: u64,
    /// By number of the sender, then by index of the key; newest last.
    others: BTreeMap<u32, Vec<(u64, Key)>>,
}

impl Default for Ring {
    fn default() -> Self {
        Self { inner: Mutex::default(), index: watch::Sender::new(0), closed: watch::Sender::default() }
    }
}

impl Ring {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Keys are whole after each step.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends under this key from now on.
    pub fn send_under(&self, index: u8, key: &[u8]) -> Result<()> {
        self.inner().own = Some(Key::derive(key, index.into())?);
        self.index.send_replace(index.into());
        Ok(())
    }

    /// Its keys are of no more use.
    pub fn forget(&self, sender: u32) {
        self.inner().others.remove(&sender);
    }

    /// Numbers of the senders whose last frame did not open, and news of them.
    pub fn closed(&self) -> watch::Receiver<BTreeSet<u32>> {
        self.closed.subscribe()
    }

    /// A key of another member.
    pub fn learn(&self, sender: u32, index: u8, key: &[u8]) -> Result<()> {
        let key = Key::derive(key, index.into())?;
        let mut inner = self.inner();
        let keys = inner.others.entry(sender).or_default();
        keys.retain(|(known, _)| *known != u64::from(index));
        keys.push((index.into(), key));
        if keys.len() > KEYS_MAX {
            keys.remove(0);
        }
        Ok(())
    }
}

impl Inner {
    fn open(&self, sender: u32, metadata: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, Closed> {
        let header = Header::parse(ciphertext).ok_or(Closed::Failed)?;
        let keys = self.others.get(&sender).ok_or(Closed::NoKey)?;
        let (_, key) = keys.iter().find(|(kid, _)| *kid == header.kid).ok_or(Closed::NoKey)?;
        key.open(header, metadata, ciphertext).ok_or(Closed::Failed)
    }
}

impl Crypt for Ring {
    fn seal(&self, metadata: &[u8], plaintext: &[u8]) -> Option<Vec<u8>> {
        let mut inner = self.inner();
        inner.counter += 1;
        inner.own.as_ref()?.seal(inner.counter, metadata, plaintext)
    }

    fn open(&self, sender: u32, metadata: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, Closed> {
        let opened = self.inner().open(sender, metadata, ciphertext);
        self.closed.send_if_modified(|closed| match opened {
            Ok(_) => closed.remove(&sender),
            Err(_) => closed.insert(sender),
        });
        opened
    }

    fn index(&self) -> watch::Receiver<u32> {
        self.index.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::crypt;

    const KEY: [u8; 16] = [7; 16];

    #[test]
    fn what_one_seals_the_other_opens() {
        let (alice, bob) = (Ring::default(), Ring::default());
        assert_eq!(crypt::seal_audio(&alice, b"sound"), None, "no key yet");
        alice.send_under(3, &KEY).expect("a key");
        assert_eq!(*alice.index().borrow(), 3);
        let sound = crypt::seal_audio(&alice, b"sound").expect("sealed");
        let picture = crypt::seal_vp8(&alice, true, 640, 360, b"picture").expect("sealed");
        assert!(sound.len() <= 1 + 5 + crypt::OVERHEAD_MAX);
        assert_eq!(crypt::open(&bob, 1, true, &sound), Err(Closed::NoKey));
        bob.learn(1, 3, &KEY).expect("a key");
        bob.learn(2, 3, &[8; 16]).expect("a key");
        assert_eq!(crypt::open(&bob, 1, true, &sound), Ok((b"sound".to_vec(), false)));
        assert_eq!(crypt::open(&bob, 1, false, &picture), Ok((b"picture".to_vec(), true)));
        assert_eq!(crypt::open(&bob, 2, true, &sound), Err(Closed::Failed), "not of that sender");
        assert_eq!(crypt::open(&bob, 1, true, &[]), Err(Closed::Failed));
        let mut forged = picture;
        forged[7] ^= 1;
        assert_eq!(crypt::open(&bob, 1, false, &forged), Err(Closed::Failed), "its size is authenticated");
    }

    #[test]
    fn a_key_that_left_is_not_used_any_more() {
        let (alice, bob) = (Ring::default(), Ring::default());
        alice.send_under(0, &KEY).expect("a key");
        bob.learn(1, 0, &KEY).expect("a key");
        alice.send_under(1, &[9; 16]).expect("a key");
        let later = crypt::seal_audio(&alice, b"later").expect("sealed");
        let closed = bob.closed();
        assert_eq!(crypt::open(&bob, 1, true, &later), Err(Closed::NoKey));
        assert_eq!(*closed.borrow(), [1].into());
        bob.learn(1, 1, &[9; 16]).expect("a key");
        assert!(crypt::open(&bob, 1, true, &later).is_ok());
        assert!(closed.borrow().is_empty(), "it need not be asked for any more");
    }
}
