//! Join time: clients that join a small call of their own, one by one, on the server that has just been under load.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::room::Room;
use super::{FIRST_MEDIA_TIMEOUT, JOIN_TIMEOUT, SETTLE};
use crate::client::Plan;
use crate::load::Load;

const PROBES: usize = 9;
/// Between two probes: no multiple of a frame interval, so that they fall on all phases of it. Some come while the ring serves
/// them, others need a key frame.
const PROBE_INTERVAL: Duration = Duration::from_millis(373);

/// Nanoseconds from the WebSocket request to the first media, and to the connection, of clients that join one by one.
pub fn probe(load: &mut Load, room: Room) -> Result<(Vec<u64>, Vec<u64>)> {
    let conference = format!("probes-{}", std::process::id());
    let plan = |id: usize, publish| {
        let (audio_slots, video_slots) = match (publish, room.shape.audio) {
            (Some(_), _) => (0, 0),
            (None, audio) => (usize::from(audio), usize::from(!audio)),
        };
        Plan { publish, audio_slots, video_slots, ..Plan::bare(id as u16) }
    };
    let publisher = load.join(&conference, plan(load.members.len(), Some(room.shape)))?;
    load.run_until("connecting", JOIN_TIMEOUT, |load| load.members[publisher].client.connected_at.is_some())?;
    load.publish_from(publisher, Instant::now());
    load.run_for(SETTLE)?;
    let track = load.members[publisher].tracks.first().cloned().context("the publisher has no track")?;
    let (mut join, mut connect) = (Vec::new(), Vec::new());
    for _ in 0..PROBES {
        let member = load.join(&conference, plan(load.members.len(), None))?;
        load.members[member].subscribe_to = Some((track.clone(), load.members[publisher].client.plan.id));
        load.run_until("a probe's first packet", FIRST_MEDIA_TIMEOUT, |load| {
            load.members[member].client.first_media_at.is_some()
        })?;
        let of = &load.members[member];
        let since = |at: Option<Instant>| at.zip(of.opened_at).map(|(at, from)| (at - from).as_nanos() as u64);
        join.extend(since(of.client.first_media_at));
        connect.extend(since(of.client.connected_at));
        load.leave(member);
        load.run_for(PROBE_INTERVAL)?;
    }
    if load.faults().total() > 0 {
        bail!("wrong packets arrived at a probe: {:?}", load.faults());
    }
    load.leave(publisher);
    Ok((join, connect))
}
