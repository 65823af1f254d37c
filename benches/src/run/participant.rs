//! The life of one participant: the way in, offer and answer, subscriptions, and leaving.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use focus_signaling::Envelope;
use focus_signaling::wire::{self, ClientMessage, Pause, ServerMessage};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::carriage::Carriage;
use super::door::Door;
#[cfg(feature = "matrix")]
use super::door::Entry;
use super::peer::Peer;
use super::person::{Person, Record};
use super::plan::Plan;
use super::wants::Wants;

/// From the way in to the connection.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How often somebody looks whether the media connection is there.
const LOOK: Duration = Duration::from_millis(250);
/// For the last message of a socket.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// What all participants share.
pub struct Shared {
    pub plan: Plan,
    pub door: Arc<dyn Door>,
    pub local: IpAddr,
    /// Of the clock that stamps packets.
    pub epoch: Instant,
    /// Becomes true when all shall leave.
    pub stop: watch::Receiver<bool>,
}

/// Joins at `at` and stays until all leave. Whatever goes wrong stands in the person's record.
pub async fn live(shared: Arc<Shared>, person: Arc<Person>, at: tokio::time::Instant) {
    let mut stop = shared.stop.clone();
    tokio::select! {
        () = tokio::time::sleep_until(at) => {}
        _ = stop.wait_for(|stop| *stop) => return,
    }
    let with_channel = shared.door.is_by_device();
    let mut peer = match Peer::new(&shared.plan, &person, shared.epoch, shared.local, with_channel).await {
        Ok(peer) => peer,
        Err(error) => return person.fail(format!("no peer connection: {error:#}")),
    };
    let overdue = async {
        let until = Instant::now() + JOIN_TIMEOUT;
        loop {
            tokio::time::sleep(LOOK).await;
            let Record { connected_at, failed, .. } = &*person.record();
            if failed.is_some() {
                return None;
            }
            if connected_at.is_none() && Instant::now() >= until {
                return Some(format!("not connected within {} s", JOIN_TIMEOUT.as_secs()));
            }
        }
    };
    let mut carriage = None;
    tokio::select! {
        end = call(&shared, &person, &mut peer, &mut carriage) => {
            let why = end.map_or_else(|error| format!("{error:#}"), |()| "the server closed the socket".to_owned());
            person.fail(why);
        }
        why = overdue => {
            if let Some(why) = why {
                person.fail(why);
            }
        }
        // The sender is only dropped at the end of the run.
        _ = stop.wait_for(|stop| *stop) => {}
    }
    if let Some(wills) = shared.door.wills(person.number) {
        wills.disconnected();
    }
    if let Some(carriage) = &mut carriage {
        let _ = timeout(LEAVE_TIMEOUT, carriage.leave()).await;
    }
    peer.close().await;
    let _ = timeout(LEAVE_TIMEOUT, shared.door.left(&person)).await;
}

/// Connects, only to see whether it is let in, and for how long it stays if nobody throws it out before `limit`.
#[cfg(feature = "matrix")]
pub async fn stay(entry: Entry, limit: Duration) -> Option<Duration> {
    let welcomed = async {
        let mut socket = Carriage::open(entry).await?;
        let answer = socket.next().await?.map(|envelope| envelope.message);
        let is_in = matches!(answer, Some(ServerMessage::Welcome(_)));
        Ok::<_, anyhow::Error>(is_in.then_some(socket))
    };
    let mut socket = timeout(JOIN_TIMEOUT, welcomed).await.ok()?.ok()??;
    let began = Instant::now();
    let thrown_out = async {
        while let Ok(Some(envelope)) = socket.next().await {
            if let ServerMessage::Leave(_) = envelope.message {
                break;
            }
        }
    };
    if timeout(limit, thrown_out).await.is_ok() {
        return Some(began.elapsed());
    }
    let _ = timeout(LEAVE_TIMEOUT, socket.leave()).await;
    Some(limit)
}

async fn call(shared: &Shared, person: &Person, peer: &mut Peer, place: &mut Option<Carriage>) -> Result<()> {
    let entry = shared.door.enter(person).await?;
    person.record().opened_at = Some(Instant::now());
    let carriage = place.insert(Carriage::open(entry).await?);
    let mut wants = Wants::new(shared, person, peer.first_mid());
    // `welcome` says how often; until then a ping would be refused.
    let mut ping = tokio::time::interval(Duration::from_secs(3600));
    ping.reset();
    let mut pings = 0;
    let mut key = person.crypt.as_ref().map(|crypt| crypt.index());
    let mut news = shared.door.news(person.number);
    let wills = shared.door.wills(person.number);
    let (mut requests, mut asked) = (None, None);
    let mut session = None;
    let mut seq = 0;
    loop {
        let envelope = tokio::select! {
            index = changed(&mut key), if !carriage.is_link() => {
                // The secrets go another way: the focus only hears that there is a new one.
                carriage.send(ClientMessage::Announce(wire::Announce { keys: Vec::new(), key_index: index })).await?;
                continue;
            }
            _ = ping.tick() => {
                pings += 1;
                carriage.send(ClientMessage::Ping(wire::Ping { n: pings })).await?;
                continue;
            }
            (request, message) = next(&mut requests) => {
                asked = Some((carriage.send(message).await?, request));
                continue;
            }
            _ = changed(&mut news) => None,
            envelope = carriage.next() => match envelope? {
                None => return Ok(()),
                envelope => envelope,
            },
        };
        let Some(Envelope { re, message, .. }) = envelope else {
            wants.meet();
            ask(carriage, wants.take()).await?;
            continue;
        };
        let answers = asked.filter(|(id, _)| re == Some(*id)).map(|(_, request)| request);
        match message {
            ServerMessage::Welcome(welcome) => {
                if let Some(wills) = wills.as_ref().filter(|_| !carriage.is_link()) {
                    requests = Some(wills.connected());
                }
                ping = tokio::time::interval(Duration::from_millis(welcome.ping_ms.max(1)));
                ping.reset();
                welcome.participants.iter().for_each(|other| wants.learn(other));
                person.record().had_company = wants.is_waiting();
                session = Some(wire::Resume { session: welcome.session, secret: welcome.secret });
                let mut offer = match carriage.is_link() {
                    true => peer.offer_channel().await?,
                    false => peer.offer_media().await?,
                };
                if let Some(key) = &mut key {
                    let key_index = *key.borrow_and_update();
                    let enc = wire::Encryption { format: "sframe".to_owned(), key_index };
                    offer.tracks.iter_mut().for_each(|track| track.enc = Some(enc.clone()));
                }
                seq += 1;
                carriage.send(ClientMessage::Offer(wire::Offer { seq, ..offer })).await?;
            }
            ServerMessage::Answer(answer) if carriage.is_link() => {
                peer.accept(answer.sdp).await?;
                carriage.move_to_channel(peer, session.take().context("an answer before a welcome")?).await?;
            }
            ServerMessage::Answer(answer) => {
                wants.slots(&answer.sdp);
                peer.accept(answer.sdp).await?;
            }
            ServerMessage::Participant(
                wire::ParticipantEvent::Joined { participant } | wire::ParticipantEvent::Updated { participant },
            ) => wants.learn(&participant),
            ServerMessage::Participant(wire::ParticipantEvent::Left { id, .. }) => wants.forget(&id),
            ServerMessage::Subscribed(subscribed) => {
                let paused = subscribed.tracks.iter().filter(|track| track.paused == Some(Pause::Bandwidth));
                person.record().pauses += paused.count() as u64;
            }
            ServerMessage::Delegated(wire::Delegated { state }) => match (&wills, state, answers) {
                (Some(wills), wire::Delegation::Held, Some(request)) => wills.answered(request, true),
                (Some(wills), wire::Delegation::Sent | wire::Delegation::Lost, _) => wills.lost(),
                _ => {}
            },
            ServerMessage::Move(_) => bail!("the server goes away"),
            ServerMessage::Leave(leave) => bail!("the server ended the session: {}", leave.code),
            // A track that ended before the request for it arrived.
            ServerMessage::Error(error) if error.errcode == "M_NOT_FOUND" => {}
            ServerMessage::Error(_) if answers.is_some() => {
                if let Some((wills, request)) = wills.as_ref().zip(answers) {
                    wills.answered(request, false);
                }
            }
            ServerMessage::Error(error) => bail!("{}: {}", error.errcode, error.error),
            _ => {}
        }
        ask(carriage, wants.take()).await?;
    }
}

async fn ask(carriage: &mut Carriage, tracks: Vec<wire::Want>) -> Result<()> {
    match tracks.is_empty() {
        true => Ok(()),
        false => carriage.send(ClientMessage::Subscribe(wire::Subscribe { tracks })).await.map(drop),
    }
}

/// The next that is for the focus; never if there is nobody to ask it.
async fn next(requests: &mut Option<mpsc::Receiver<(u64, ClientMessage)>>) -> (u64, ClientMessage) {
    if let Some(requests) = requests
        && let Some(request) = requests.recv().await
    {
        return request;
    }
    std::future::pending().await
}

/// The next value; never if there is nothing to watch.
async fn changed<T: Copy>(watched: &mut Option<watch::Receiver<T>>) -> T {
    if let Some(watched) = watched
        && watched.changed().await.is_ok()
    {
        return *watched.borrow_and_update();
    }
    std::future::pending().await
}
