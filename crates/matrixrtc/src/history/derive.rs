//! Events to stays, stays to calls.

use std::collections::BTreeMap;

use ruma::OwnedEventId;

use super::{Fact, How, Item, Place, What};
use crate::membership::MemberKey;
use crate::time::Timestamp;

/// One member in the call, from when to when.
struct Stay {
    member: MemberKey,
    from: Timestamp,
    /// `None`: still there.
    to: Option<(Timestamp, How)>,
}

struct Open {
    member: MemberKey,
    from: Timestamp,
    expires_at: Timestamp,
    redacted_at: Option<Timestamp>,
}

pub(super) fn items(
    facts: &BTreeMap<(Timestamp, OwnedEventId), Fact>,
    redactions: &BTreeMap<OwnedEventId, Timestamp>,
    until: Timestamp,
) -> Vec<Item> {
    let mut places: BTreeMap<&Place, Vec<(Timestamp, &OwnedEventId, &Fact)>> = BTreeMap::new();
    for ((at, event), fact) in facts.iter().take_while(|((at, _), _)| *at <= until) {
        let (Fact::Joined(place, _) | Fact::Left(place, _)) = fact;
        places.entry(place).or_default().push((*at, event, fact));
    }
    let mut stays: Vec<_> = places.into_values().flat_map(|facts| stays(&facts, redactions, until)).collect();
    stays.sort_by(|one, two| one.from.cmp(&two.from).then_with(|| one.member.cmp(&two.member)));
    calls(&stays)
}

fn stays(
    facts: &[(Timestamp, &OwnedEventId, &Fact)],
    redactions: &BTreeMap<OwnedEventId, Timestamp>,
    until: Timestamp,
) -> Vec<Stay> {
    let mut stays: Vec<Stay> = Vec::new();
    let mut open: Option<Open> = None;
    for (at, event, fact) in facts {
        close_by_itself(&mut open, *at, &mut stays);
        match fact {
            Fact::Joined(_, membership) => {
                let redacted_at = redactions.get(*event).copied().filter(|redacted| redacted >= at);
                let same = open.take_if(|open| open.member == membership.key);
                if let Some(other) = open.take() {
                    stays.push(closed(other, *at, How::Left));
                }
                // If the first event of this stay is not known, its time is; but no stay begins within another.
                let ended = stays.last().and_then(|stay| stay.to).map_or(Timestamp::default(), |(to, _)| to);
                let from = same.map_or(membership.created_at.max(ended).min(*at), |same| same.from);
                let (member, expires_at) = (membership.key.clone(), membership.expires_at);
                open = Some(Open { member, from, expires_at, redacted_at });
            }
            Fact::Left(_, how) => {
                if let Some(open) = open.take() {
                    stays.push(closed(open, *at, *how));
                }
            }
        }
    }
    close_by_itself(&mut open, until, &mut stays);
    stays.extend(open.map(|Open { member, from, .. }| Stay { member, from, to: None }));
    stays
}

/// It expired, or was redacted, before `now`.
fn close_by_itself(open: &mut Option<Open>, now: Timestamp, stays: &mut Vec<Stay>) {
    let Some(Open { expires_at, redacted_at, .. }) = open else { return };
    let removed = redacted_at.filter(|at| *at <= now && at <= expires_at).map(|at| (at, How::Removed));
    let ended = removed.or((*expires_at <= now).then_some((*expires_at, How::Lost)));
    if let Some((at, how)) = ended {
        stays.extend(open.take().map(|open| closed(open, at, how)));
    }
}

fn closed(open: Open, at: Timestamp, how: How) -> Stay {
    Stay { to: Some((at.max(open.from), how)), member: open.member, from: open.from }
}

/// `stays` by their beginning. A call goes on as long as one of its stays does.
fn calls(stays: &[Stay]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut rest = stays;
    while let Some(first) = rest.first() {
        let mut end = first.to.map(|(at, _)| at);
        let mut count = 1;
        for stay in &rest[1..] {
            if end.is_some_and(|end| end <= stay.from) {
                break;
            }
            end = end.zip(stay.to).map(|(end, (to, _))| end.max(to));
            count += 1;
        }
        let (call, later) = rest.split_at(count);
        one_call(call, first, end, &mut items);
        rest = later;
    }
    items
}

fn one_call(call: &[Stay], first: &Stay, end: Option<Timestamp>, items: &mut Vec<Item>) {
    items.push(Item { at: first.from, what: What::Started { by: first.member.clone() } });
    // At the same time leaves come before joins, for whoever came back had left. One who joined and left within the same
    // millisecond was there, if briefly.
    let mut moves: Vec<(Timestamp, u8, What)> = Vec::new();
    for Stay { member, from, to } in call {
        moves.push((*from, 1, What::Joined { member: member.clone() }));
        if let Some((at, how)) = to {
            let member = member.clone();
            let what = match how {
                How::Left => What::Left { member },
                How::Lost => What::LostConnection { member },
                How::Removed => What::Removed { member },
            };
            moves.push((*at, if at == from { 2 } else { 0 }, what));
        }
    }
    moves.sort_by_key(|(at, rank, _)| (*at, *rank));
    let (mut present, mut most) = (0usize, 0);
    for (at, _, what) in moves {
        present = if matches!(what, What::Joined { .. }) { present + 1 } else { present.saturating_sub(1) };
        most = most.max(present);
        items.push(Item { at, what });
    }
    if let Some(end) = end {
        items.push(Item { at: end, what: What::Ended { duration: end.since(first.from), most } });
    }
}
