// One device's claim to be in a session, normalised from whatever event made it. Whether it counts (its sender in the room,
// not expired, of this slot) is the session's affair.

import type { RawEvent } from './homeserver.ts';
import type { Transport } from './transport.ts';

export interface Membership {
  readonly user: string;
  readonly device: string;
  /** How the device is known: only `encryption` is more than a claim of some device of the user. */
  readonly deviceFrom: 'encryption' | 'content' | 'nothing';
  readonly memberId: string;
  readonly slot: string;
  readonly application: string;
  readonly intent: string | null;
  readonly capabilities: readonly string[];
  /** When the member joined; never after the event itself. */
  readonly createdAt: number;
  readonly expiresAt: number;
  /** In the member's order of preference. */
  readonly transports: readonly Transport[];
  /** Kinds of transports over which it can receive. */
  readonly canSubscribe: readonly string[];
  readonly selection: string;
  readonly eventId: string;
  readonly sentAt: number;
  readonly form: 'legacy' | 'rtc_transports' | 'transports' | 'spec';
}

export interface Leave {
  readonly code: string | null;
  readonly reason: string | null;
}

/** What an event says; a refusal is a word for a log and for tests. */
export type Claim =
  | { readonly is: 'joined'; readonly membership: Membership }
  | { readonly is: 'left'; readonly leave: Leave }
  | { readonly is: 'refused'; readonly why: string };

export type EventReader = (event: RawEvent) => Claim;

export const LEGACY_TYPE = 'org.matrix.msc3401.call.member';
export const STICKY_TYPES: readonly string[] = ['org.matrix.msc4143.rtc.member', 'm.rtc.member'];
export const DEFAULT_SLOT = 'm.call#ROOM';

/** Unique in a session. */
export function keyOf({ user, device, memberId }: Pick<Membership, 'user' | 'device' | 'memberId'>): string {
  return JSON.stringify([user, device, memberId]);
}

/** Byte-wise, as everybody must sort alike. */
function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

/** Oldest first; those of the same age by user, device and member id. */
export function byAge(one: Membership, other: Membership): number {
  return (
    one.createdAt - other.createdAt || compare(one.user, other.user) || compare(one.device, other.device) || compare(one.memberId, other.memberId)
  );
}
