// Raised hands and reactions, as Element Call sends them: both refer to the member event of who makes them, so that nobody
// can raise somebody else's hand.

import type { RawEvent } from './homeserver.ts';
import { objectAt, stringAt, type Json } from './json.ts';
import type { Membership } from './membership.ts';

export const HAND = '🖐️';
const HAND_TYPE = 'm.reaction';
const REACTION_TYPE = 'io.element.call.reaction';
export const REACTION_MS = 3_000;
/** Of hands whose member event has not been seen. */
const HANDS_MAX = 1000;

export interface Reaction {
  readonly member: Membership;
  readonly emoji: string;
}

export function handContent(memberEvent: string): Json {
  return { 'm.relates_to': { rel_type: 'm.annotation', event_id: memberEvent, key: HAND } };
}

export function reactionContent(memberEvent: string, emoji: string, name: string): Json {
  return { 'm.relates_to': { rel_type: 'm.reference', event_id: memberEvent }, emoji, name };
}

export const HAND_EVENT = HAND_TYPE;
export const REACTION_EVENT = REACTION_TYPE;

export class Reactions {
  /** By the event that raised it: a redaction lowers it. */
  readonly #hands = new Map<string, { sender: string; memberEvent: string; at: number }>();

  /** Returns a reaction to be shown for {@link REACTION_MS}, if the event is one. */
  handle(event: RawEvent, members: readonly Membership[], now: number): Reaction | null {
    const relates = objectAt(event.content, 'm.relates_to');
    const memberEvent = relates && stringAt(relates, 'event_id');
    if (!relates || memberEvent === null) return null;
    if (event.type === HAND_TYPE && relates['rel_type'] === 'm.annotation' && relates['key'] === HAND) {
      if (this.#hands.size < HANDS_MAX) this.#hands.set(event.eventId, { sender: event.sender, memberEvent, at: event.originServerTs });
    } else if (event.type === REACTION_TYPE && relates['rel_type'] === 'm.reference' && now - event.originServerTs < REACTION_MS * 2) {
      const member = members.find(({ eventId, user }) => eventId === memberEvent && user === event.sender);
      const emoji = firstGrapheme(stringAt(event.content, 'emoji') ?? '');
      if (member && emoji) return { member, emoji };
    }
    return null;
  }

  redacted(eventId: string): void {
    this.#hands.delete(eventId);
  }

  /** When the hand went up; `null`: it is down. It counts while the member event that it refers to is the present one. */
  hand(member: Membership): number | null {
    for (const { sender, memberEvent, at } of this.#hands.values()) if (sender === member.user && memberEvent === member.eventId) return at;
    return null;
  }

  /** The event that raised it. */
  handEvent(memberEvent: string, user: string): string | null {
    for (const [id, hand] of this.#hands) if (hand.sender === user && hand.memberEvent === memberEvent) return id;
    return null;
  }
}

export function firstGrapheme(text: string): string {
  const short = text.slice(0, 64);
  const [first] = new Intl.Segmenter(undefined, { granularity: 'grapheme' }).segment(short);
  return first?.segment ?? '';
}
