// Who is in the session: the claims that count, oldest first. There is no call event that somebody could overwrite.

import * as fields from './fields.ts';
import type { RawEvent, Room } from './homeserver.ts';
import { objectAt } from './json.ts';
import { owns, readLegacy } from './legacy-member.ts';
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

/** Remembered for the case that somebody writes over them. */
const OWNED_MAX = 4 * MEMBERS_MAX;

/**
 * The member events of a room that are in force. Whoever has the power may write anybody's state key; here that counts for
 * nothing: what the owner of a key said last goes on to count.
 */
export class MemberEvents {
  readonly #owned = new Map<string, RawEvent>();

  of(room: Pick<Room, 'state' | 'sticky'>): RawEvent[] {
    const state = room.state(LEGACY_TYPE).flatMap((event) => {
      const key = event.stateKey ?? '';
      if (!owns(event.sender, key)) return this.#owned.get(key) ?? [];
      if (this.#owned.size < OWNED_MAX || this.#owned.has(key)) this.#owned.set(key, event);
      return event;
    });
    return [...STICKY_TYPES.flatMap((type) => room.sticky(type)), ...state];
  }
}

const SLOT_TYPES: readonly string[] = ['org.matrix.msc4143.rtc.slot', 'm.rtc.slot'];

/** How much an `m.rtc.slot` event means for sticky members. Legacy ones know nothing of slots. */
export type SlotRule =
  /** A slot that is closed has no members; without any slot event there may be some. No client sends slots yet. */
  | 'if-there'
  /** As MSC4143 has it: no open slot, no members. */
  | 'required';

/** Whether the slot may have sticky members, as the newest slot event of the room says. */
export function isSlotOpen(room: Pick<Room, 'state'>, slot: string, rule: SlotRule = 'if-there'): boolean {
  const events = SLOT_TYPES.flatMap((type) => room.state(type)).filter(({ stateKey }) => stateKey === slot);
  const newest = events.sort((one, other) => one.originServerTs - other.originServerTs).at(-1);
  return newest ? isOpen(newest, slot) : rule !== 'required';
}

function isOpen({ content, redacted }: RawEvent, slot: string): boolean {
  const application = objectAt(content, 'application');
  return !redacted && content['status'] === 'open' && application !== null && slot.startsWith(`${String(application['type'])}#`);
}

export interface Scope {
  readonly slot: string;
  readonly now: number;
  readonly isJoined: (user: string) => boolean;
  readonly isSlotOpen: boolean;
}

/** Those who are in the session now. Of one device's two events the sticky one counts. */
export function members(events: readonly RawEvent[], { slot, now, isJoined, isSlotOpen: open }: Scope): Membership[] {
  const found = new Map<string, Membership>();
  for (const event of events) {
    const claim = readMember(event);
    if (claim.is !== 'joined') continue;
    const { membership } = claim;
    if (membership.slot !== slot || membership.expiresAt <= now || !isJoined(membership.user)) continue;
    if (membership.form !== 'legacy' && !open) continue;
    if (event.stickyUntil !== undefined && event.stickyUntil <= now) continue;
    const device = JSON.stringify([membership.user, membership.device]);
    const before = found.get(device);
    if (!before || supersedes(membership, before)) found.set(device, membership);
  }
  return [...found.values()].sort(byAge).slice(0, MEMBERS_MAX);
}

function supersedes(one: Membership, other: Membership): boolean {
  if ((one.form === 'legacy') !== (other.form === 'legacy')) return one.form !== 'legacy';
  return one.sentAt === other.sentAt ? one.eventId > other.eventId : one.sentAt > other.sentAt;
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
