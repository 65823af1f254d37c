// Ringing (MSC4075, MSC4310) as it is deployed: whoever joins first rings the room, once. It stops when it is answered,
// declined, out of time, or when the caller has gone.

import type { RawEvent } from './homeserver.ts';
import { integerAt, listAt, objectAt, stringAt, type Json } from './json.ts';

export const NOTIFICATION_TYPE = 'org.matrix.msc4075.rtc.notification';
export const NOTIFICATION_TYPES: readonly string[] = [NOTIFICATION_TYPE, 'm.rtc.notification'];
export const DECLINE_TYPE = 'org.matrix.msc4310.rtc.decline';
export const DECLINE_TYPES: readonly string[] = [DECLINE_TYPE, 'm.rtc.decline'];
export const LIFETIME_MS = 30_000;
const LIFETIME_MS_MAX = 90_000;
/** The sender's clock counts only while it agrees with the server's this far. */
const CLOCKS_MS = 20_000;

export interface Ring {
  readonly eventId: string;
  readonly caller: string;
  /** `false`: a hint that there is a call, without sound. */
  readonly loud: boolean;
  readonly intent: string | null;
  readonly until: number;
}

export function notificationContent(memberEvent: string, intent: string, now: number): Json {
  return {
    'm.mentions': { user_ids: [], room: true },
    notification_type: 'ring',
    'm.relates_to': { rel_type: 'm.reference', event_id: memberEvent },
    sender_ts: now,
    lifetime: LIFETIME_MS,
    'm.call.intent': intent,
  };
}

export function declineContent(notification: string): Json {
  return { 'm.relates_to': { rel_type: 'm.reference', event_id: notification } };
}

/** `null`: malformed, not for `user`, or by `user`. */
export function readNotification(event: RawEvent, user: string): Ring | null {
  if (!NOTIFICATION_TYPES.includes(event.type) || event.sender === user) return null;
  const { content, originServerTs } = event;
  const mentions = objectAt(content, 'm.mentions');
  const relates = objectAt(content, 'm.relates_to');
  const senderTs = integerAt(content, 'sender_ts');
  const lifetime = integerAt(content, 'lifetime');
  const kind = stringAt(content, 'notification_type');
  if (!mentions || relates?.['rel_type'] !== 'm.reference' || senderTs === null || lifetime === null || lifetime < 0) return null;
  if (kind !== 'ring' && kind !== 'notification') return null;
  const users = listAt(mentions, 'user_ids') ?? [];
  if (mentions['room'] !== true && !users.includes(user)) return null;
  const start = Math.abs(senderTs - originServerTs) > CLOCKS_MS ? originServerTs : senderTs;
  return { eventId: event.eventId, caller: event.sender, loud: kind === 'ring', intent: stringAt(content, 'm.call.intent'), until: start + Math.min(lifetime, LIFETIME_MS_MAX) };
}

/** The notification that it declines. */
export function readDecline(event: RawEvent): string | null {
  if (!DECLINE_TYPES.includes(event.type)) return null;
  const relates = objectAt(event.content, 'm.relates_to');
  return relates?.['rel_type'] === 'm.reference' ? stringAt(relates, 'event_id') : null;
}

/** What rings at this moment for a user who is not in the call. */
export class Ringing {
  readonly #user: string;
  #ring: Ring | null = null;
  readonly #declined = new Set<string>();

  constructor(user: string) {
    this.#user = user;
  }

  handle(event: RawEvent): void {
    const declined = readDecline(event);
    // Only a decline of the callee's own counts, from whichever of his devices.
    if (declined !== null && event.sender === this.#user) this.#declined.add(declined);
    const ring = readNotification(event, this.#user);
    if (ring && (!this.#ring || ring.until >= this.#ring.until)) this.#ring = ring;
  }

  current(now: number, isInCall: (user: string) => boolean): Ring | null {
    const ring = this.#ring;
    if (!ring || ring.until <= now || this.#declined.has(ring.eventId) || !isInCall(ring.caller) || isInCall(this.#user)) return null;
    return ring;
  }
}

export type OutgoingState = 'none' | 'ringing' | 'answered' | 'declined' | 'unanswered';

/** What has become of our own ringing. */
export class Outgoing {
  #eventId: string | null = null;
  #until = 0;
  #answered = false;
  readonly #declined = new Set<string>();

  sent(eventId: string, now: number): void {
    this.#eventId = eventId;
    this.#until = now + LIFETIME_MS;
  }

  handle(event: RawEvent, own: string): void {
    const declined = readDecline(event);
    if (declined !== null && declined === this.#eventId && event.sender !== own) this.#declined.add(event.sender);
  }

  answered(): void {
    this.#answered = true;
  }

  get declinedBy(): readonly string[] {
    return [...this.#declined];
  }

  /** `others`: those of the room whom it rang for. */
  state(now: number, others: number): OutgoingState {
    if (this.#eventId === null) return 'none';
    if (this.#answered) return 'answered';
    if (others > 0 && this.#declined.size >= others) return 'declined';
    return now < this.#until ? 'ringing' : 'unanswered';
  }
}
