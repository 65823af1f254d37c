// Events to stays, stays to calls.

import { keyOf, type Membership } from './membership.ts';

export type HistoryItem =
  /** The first member came. */
  | { readonly kind: 'started'; readonly user: string; readonly at: number }
  | { readonly kind: 'joined' | How; readonly user: string; readonly at: number }
  /** The last member went. `most` were there together. */
  | { readonly kind: 'ended'; readonly at: number; readonly durationMs: number; readonly most: number };

export type How =
  /** It said so. */
  | 'left'
  /** The homeserver sent the leave in its place, or nobody renewed it. */
  | 'lost'
  /** Its event was redacted: a moderator's way to end a membership. */
  | 'removed';

export type Fact = { readonly place: string; readonly eventId: string; readonly at: number } & ({ readonly is: 'joined'; readonly member: Membership } | { readonly is: 'left'; readonly how: How });

/** One member in the call, from when to when. `null`: still there. */
interface Stay {
  readonly member: Membership;
  readonly from: number;
  readonly to: { readonly at: number; readonly how: How } | null;
}

interface Open {
  readonly member: Membership;
  readonly from: number;
  readonly redactedAt: number | null;
}

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);

export function items(facts: readonly Fact[], redactions: ReadonlyMap<string, number>, until: number): HistoryItem[] {
  const places = new Map<string, Fact[]>();
  const inOrder = facts.filter(({ at }) => at <= until).sort((one, other) => one.at - other.at || compare(one.eventId, other.eventId));
  for (const fact of inOrder) places.set(fact.place, [...(places.get(fact.place) ?? []), fact]);
  const stays = [...places.values()].flatMap((some) => staysOf(some, redactions, until));
  stays.sort((one, other) => one.from - other.from || compare(one.member.user, other.member.user) || compare(one.member.device, other.member.device) || compare(one.member.memberId, other.member.memberId));
  return calls(stays);
}

function staysOf(facts: readonly Fact[], redactions: ReadonlyMap<string, number>, until: number): Stay[] {
  const stays: Stay[] = [];
  let open: Open | null = null;
  for (const fact of facts) {
    open = closeByItself(open, fact.at, stays);
    if (fact.is === 'left') {
      if (open) stays.push(closed(open, fact.at, fact.how));
      open = null;
      continue;
    }
    const redacted = redactions.get(fact.eventId);
    const redactedAt = redacted !== undefined && redacted >= fact.at ? redacted : null;
    const isSame: boolean = open !== null && keyOf(open.member) === keyOf(fact.member);
    if (open && !isSame) stays.push(closed(open, fact.at, 'left'));
    // If the first event of this stay is not known, its time is; but no stay begins within another.
    const ended = stays.at(-1)?.to?.at ?? 0;
    const from: number = open && isSame ? open.from : Math.min(Math.max(fact.member.createdAt, ended), fact.at);
    open = { member: fact.member, from, redactedAt };
  }
  open = closeByItself(open, until, stays);
  if (open) stays.push({ member: open.member, from: open.from, to: null });
  return stays;
}

/** It expired, or was redacted, before `now`. */
function closeByItself(open: Open | null, now: number, stays: Stay[]): Open | null {
  if (!open) return null;
  const { member: { expiresAt }, redactedAt } = open;
  const removed = redactedAt !== null && redactedAt <= now && redactedAt <= expiresAt;
  if (!removed && expiresAt > now) return open;
  stays.push(removed ? closed(open, redactedAt, 'removed') : closed(open, expiresAt, 'lost'));
  return null;
}

function closed({ member, from }: Open, at: number, how: How): Stay {
  return { member, from, to: { at: Math.max(at, from), how } };
}

/** `stays` by their beginning. A call goes on as long as one of its stays does. */
function calls(stays: readonly Stay[]): HistoryItem[] {
  const found: HistoryItem[] = [];
  let rest = stays;
  for (let first = rest[0]; first; first = rest[0]) {
    let end = first.to?.at ?? null;
    let count = 1;
    for (const { from, to } of rest.slice(1)) {
      if (end !== null && end <= from) break;
      end = end === null || !to ? null : Math.max(end, to.at);
      count++;
    }
    found.push(...oneCall(rest.slice(0, count), first, end));
    rest = rest.slice(count);
  }
  return found;
}

function oneCall(call: readonly Stay[], first: Stay, end: number | null): HistoryItem[] {
  // At the same time leaves come before joins, for whoever came back had left. One who joined and left within the same
  // millisecond was there, if briefly.
  const moves = call.flatMap(({ member: { user }, from, to }) => [
    { at: from, rank: 1, kind: 'joined' as const, user },
    ...(to ? [{ at: to.at, rank: to.at === from ? 2 : 0, kind: to.how, user }] : []),
  ]);
  moves.sort((one, other) => one.at - other.at || one.rank - other.rank);
  let [present, most] = [0, 0];
  for (const { kind } of moves) {
    present = kind === 'joined' ? present + 1 : Math.max(0, present - 1);
    most = Math.max(most, present);
  }
  return [
    { kind: 'started', user: first.member.user, at: first.from },
    ...moves.map(({ at, kind, user }) => ({ kind, user, at })),
    ...(end === null ? [] : [{ kind: 'ended' as const, at: end, durationMs: Math.max(0, end - first.from), most }]),
  ];
}
