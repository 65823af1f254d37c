// Who is in the session: the claims that count, oldest first. There is no call event that somebody could overwrite.

import * as fields from './fields.ts';
import type { RawEvent, Room } from './homeserver.ts';
import { readLegacy } from './legacy-member.ts';
import { byAge, keyOf, LEGACY_TYPE, STICKY_TYPES, type Claim, type Membership } from './membership.ts';
import { readSticky } from './sticky-member.ts';

/** Nobody can open more connections than this; a room with more claims is being abused. */
export const MEMBERS_MAX = 1000;

export function readMember(event: RawEvent): Claim {
  try {
    if (event.type === LEGACY_TYPE) return readLegacy(event);
    if (STICKY_TYPES.includes(event.type)) return readSticky(event);
  } catch (error) {
    if (error instanceof fields.Refused) return { is: 'refused', why: error.message };
    throw error;
  }
  return { is: 'refused', why: 'not_member' };
}

/** Every member event of the room that is in force. */
export function memberEvents(room: Room): RawEvent[] {
  return [...STICKY_TYPES.flatMap((type) => room.sticky(type)), ...room.state(LEGACY_TYPE)];
}

export interface Scope {
  readonly slot: string;
  readonly now: number;
  readonly isJoined: (user: string) => boolean;
}

/** Those who are in the session now. Of one device's two events the sticky one counts. */
export function members(events: readonly RawEvent[], { slot, now, isJoined }: Scope): Membership[] {
  const found = new Map<string, Membership>();
  for (const event of events) {
    const claim = readMember(event);
    if (claim.is !== 'joined') continue;
    const { membership } = claim;
    if (membership.slot !== slot || membership.expiresAt <= now || !isJoined(membership.user)) continue;
    if (event.stickyUntil !== undefined && event.stickyUntil <= now) continue;
    const device = JSON.stringify([membership.user, membership.device]);
    const before = found.get(device);
    if (!before || supersedes(membership, before)) found.set(device, membership);
  }
  return [...found.values()].sort(byAge).slice(0, MEMBERS_MAX);
}

function supersedes(one: Membership, other: Membership): boolean {
  if ((one.form === 'legacy') !== (other.form === 'legacy')) return one.form !== 'legacy';
  return one.sentAt > other.sentAt;
}

export interface Changes {
  readonly joined: readonly Membership[];
  readonly left: readonly Membership[];
  /** The same stay, said anew: other transports, or only a later end. */
  readonly updated: readonly Membership[];
}

/** One stay. A member id that is no more than user and device comes back with another beginning. */
export function stayOf(member: Membership): string {
  return `${keyOf(member)} ${member.createdAt}`;
}

export function changes(before: readonly Membership[], after: readonly Membership[]): Changes {
  const old = new Map(before.map((member) => [stayOf(member), member]));
  const now = new Map(after.map((member) => [stayOf(member), member]));
  return {
    joined: after.filter((member) => !old.has(stayOf(member))),
    left: before.filter((member) => !now.has(stayOf(member))),
    updated: after.filter((member) => {
      const known = old.get(stayOf(member));
      return known !== undefined && known.eventId !== member.eventId;
    }),
  };
}

/** When the next one ends by itself, if nothing else happens. */
export function nextExpiry(present: readonly Membership[]): number | null {
  return present.length === 0 ? null : Math.min(...present.map(({ expiresAt }) => expiresAt));
}
