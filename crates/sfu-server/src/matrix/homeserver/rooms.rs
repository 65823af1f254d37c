//! The members of rooms as an account is told them, which is all of them at once. Questions about one room within a moment
//! share one request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use focus_matrix::authorize::Membership;
use focus_matrix::watch::SWEEP;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use ruma::{OwnedRoomId, OwnedServerName, RoomId, UserId};
use serde::Deserialize;
use tokio::time::Instant;

use super::Reach;
use crate::matrix::fetch::{self, Fetcher, Method, Refused, segment};

/// A request is shared for so long after it was sent, answered or not: then the answer may be older than what it is asked
/// about by no more than this.
const SHARED_FOR: Duration = Duration::from_millis(300);
/// Rooms whose members are held, some 100 bytes each: those of calls that are asked about within a moment. More are asked
/// about without sharing.
const ROOMS_MAX: usize = 256;

/// Who was removed is silent within 2 s: the sweep after the last answer that did not know it sees it.
const _: () = assert!(SHARED_FOR.as_millis() + SWEEP.as_millis() <= 1500);

/// What a homeserver says of a room.
pub(super) struct Seen {
    members: Result<BTreeSet<String>, Membership>,
    /// What that says of the homeserver.
    pub(super) reach: Option<Reach>,
}

type Asked = Shared<BoxFuture<'static, Arc<Seen>>>;

#[derive(Default)]
pub(super) struct Rooms(Mutex<BTreeMap<OwnedRoomId, (Instant, Asked)>>);

#[derive(Deserialize)]
struct JoinedMembers {
    joined: BTreeMap<String, serde::de::IgnoredAny>,
}

impl Rooms {
    pub(super) async fn ask(
        &self,
        fetch: &Arc<Fetcher>,
        server: &OwnedServerName,
        token: &str,
        room: &RoomId,
    ) -> Arc<Seen> {
        let (fetch, server, token) = (fetch.clone(), server.clone(), token.to_owned());
        self.share(room, |room| async move { request(&fetch, server.as_str(), &token, &room).await }.boxed()).await
    }

    fn share(&self, room: &RoomId, ask: impl FnOnce(OwnedRoomId) -> BoxFuture<'static, Seen>) -> Asked {
        let now = Instant::now();
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.retain(|_, (sent, _)| now < *sent + SHARED_FOR);
        if let Some((_, asked)) = rooms.get(room) {
            return asked.clone();
        }
        let asked = ask(room.to_owned()).map(Arc::new).boxed().shared();
        if rooms.len() < ROOMS_MAX {
            rooms.insert(room.to_owned(), (now, asked.clone()));
        }
        asked
    }

    pub(super) fn forget(&self, room: &RoomId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(room);
    }
}

impl Seen {
    pub(super) fn membership(&self, user: &UserId) -> Membership {
        match &self.members {
            Ok(members) if members.contains(user.as_str()) => Membership::Joined,
            Ok(_) => Membership::NotJoined,
            Err(membership) => *membership,
        }
    }
}

/// As an account that is in the room itself. Single state events would also be told to one that has left, as they were
/// then.
async fn request(fetch: &Fetcher, server: &str, token: &str, room: &RoomId) -> Seen {
    let path = format!("/_matrix/client/v3/rooms/{}/joined_members", segment(room.as_str()));
    match fetch.configured().call(server, Method::Get, &path, Some(token), None).await {
        Ok(answer) => seen(&answer),
        Err(Refused::Busy) => Seen { members: Err(Membership::Unavailable), reach: None },
        Err(_) => Seen { members: Err(Membership::Unavailable), reach: Some(Reach::Down) },
    }
}

fn seen(answer: &fetch::Answer) -> Seen {
    let (members, reach) = match answer.status {
        200 => match answer.json::<JoinedMembers>() {
            Ok(JoinedMembers { joined }) => (Ok(joined.into_keys().collect()), Reach::Up),
            Err(_) => (Err(Membership::Unavailable), Reach::Down),
        },
        401 => (Err(Membership::Unavailable), Reach::Refuses),
        // Not in that room, which is for the operator to change.
        403 | 404 => (Err(Membership::Unseen), Reach::Up),
        _ => (Err(Membership::Unavailable), Reach::Down),
    };
    Seen { members, reach: Some(reach) }
}

#[cfg(test)]
mod tests {
    use ruma::{room_id, user_id};

    use super::*;

    /// Counts the requests; each takes 100 ms and says how many there were before it.
    fn ask(rooms: &Rooms, room: &RoomId, sent: &Arc<Mutex<usize>>) -> Asked {
        let sent = sent.clone();
        rooms.share(room, |_| {
            async move {
                let n = {
                    let mut sent = sent.lock().expect("no panic");
                    *sent += 1;
                    *sent
                };
                tokio::time::sleep(Duration::from_millis(100)).await;
                Seen { members: Ok((0..n).map(|n| format!("@u{n}:example.org")).collect()), reach: None }
            }
            .boxed()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn questions_of_a_moment_share_a_request_and_no_answer_is_older() {
        let (rooms, sent) = (Rooms::default(), Arc::default());
        let (a, b) = (room_id!("!a:example.org"), room_id!("!b:example.org"));
        let together: Vec<Asked> = (0..50).map(|_| ask(&rooms, a, &sent)).collect();
        futures_util::future::join_all(together).await;
        assert_eq!(*sent.lock().expect("no panic"), 1);
        ask(&rooms, b, &sent).await;
        assert_eq!(*sent.lock().expect("no panic"), 2, "another room");
        // 200 ms have passed.
        tokio::time::advance(Duration::from_millis(99)).await;
        let old = ask(&rooms, a, &sent).await;
        assert_eq!(old.membership(user_id!("@u1:example.org")), Membership::NotJoined);
        tokio::time::advance(Duration::from_millis(1)).await;
        let new = ask(&rooms, a, &sent).await;
        assert_eq!(new.membership(user_id!("@u1:example.org")), Membership::Joined);
        assert_eq!(*sent.lock().expect("no panic"), 3);
        rooms.forget(a);
        ask(&rooms, a, &sent).await;
        assert_eq!(*sent.lock().expect("no panic"), 4, "something had changed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_an_answer_is_not_shared_for_ever_and_few_rooms_are_held() {
        let (rooms, sent) = (Rooms::default(), Arc::default());
        let room = room_id!("!a:example.org");
        let slow = ask(&rooms, room, &sent);
        tokio::time::advance(SHARED_FOR).await;
        futures_util::future::join(slow, ask(&rooms, room, &sent)).await;
        assert_eq!(*sent.lock().expect("no panic"), 2);
        for n in 0..2 * ROOMS_MAX {
            drop(ask(&rooms, &RoomId::parse(format!("!{n}:example.org")).expect("an id"), &sent));
        }
        assert_eq!(rooms.0.lock().expect("no panic").len(), ROOMS_MAX);
    }
}
