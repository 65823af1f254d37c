// The calls of a room in the past, derived from its member events: nobody writes a history event, and everybody derives it alike,
// whatever order the events came in. The same as `matrixrtc::history`, held to it by the golden cases of that crate.

import { items, type Fact, type HistoryItem } from './history-items.ts';
import type { RawEvent } from './homeserver.ts';
import * as fields from './fields.ts';
import { LEGACY_TYPE, STICKY_TYPES } from './membership.ts';
import { readMember } from './session.ts';

export type { HistoryItem } from './history-items.ts';

/** Of some hundred calls; beyond this the oldest go. */
export const FACTS_MAX = 8_192;
/** What stands in a leave that the homeserver sent in the member's place. */
const LOST_CODES: readonly (string | null)[] = ['delayed_leave', 'delayed', 'm.lost_connection'];

export class History {
  readonly #slot: string;
  /** By event. */
  readonly #facts = new Map<string, Fact>();
  /** When each event was redacted. */
  readonly #redactions = new Map<string, number>();

  constructor(slot: string) {
    this.#slot = slot;
  }

  /** Any event of the room, old or new, in any order, also twice. Returns whether it may have changed anything. */
  handle(event: RawEvent): boolean {
    const place = placeOf(event);
    const fact = place === null ? null : this.#factOf(event, place);
    if (!fact || this.#facts.has(event.eventId)) return false;
    this.#facts.set(event.eventId, fact);
    if (this.#facts.size > FACTS_MAX) forgetOldest(this.#facts, ({ at }) => at);
    return true;
  }

  redacted(eventId: string, at: number): void {
    this.#redactions.set(eventId, Math.min(at, this.#redactions.get(eventId) ?? at));
    if (this.#redactions.size > FACTS_MAX) forgetOldest(this.#redactions, (when) => when);
  }

  /** Up to `until`, oldest first. A call that goes on has no end. */
  items(until: number): HistoryItem[] {
    return items([...this.#facts.values()], this.#redactions, until);
  }

  #factOf(event: RawEvent, place: string): Fact | null {
    const common = { place, eventId: event.eventId, at: event.originServerTs };
    const claim = readMember(event);
    if (claim.is === 'refused') return null;
    if (claim.is === 'joined' && claim.membership.slot === this.#slot) return { ...common, is: 'joined', member: claim.membership };
    if (claim.is === 'left' && event.redacted) return { ...common, is: 'left', how: 'removed' };
    // Whatever stands there now, it is no member of this call.
    const isLost = claim.is === 'left' && LOST_CODES.includes(claim.leave.code);
    return { ...common, is: 'left', how: isLost ? 'lost' : 'left' };
  }
}

/** Where a member's events replace each other. */
function placeOf({ type, sender, stateKey, content }: RawEvent): string | null {
  if (type === LEGACY_TYPE) return stateKey === undefined ? null : JSON.stringify([sender, stateKey]);
  const [stable, unstable] = [content['sticky_key'], content['msc4354_sticky_key']];
  const key = stable ?? unstable;
  if (!STICKY_TYPES.includes(type) || stateKey !== undefined || !fields.isText(key) || (unstable !== undefined && unstable !== key)) return null;
  return JSON.stringify([sender, key]);
}

function forgetOldest<T>(map: Map<string, T>, time: (value: T) => number): void {
  let oldest: { key: string; at: number } | null = null;
  for (const [key, value] of map) {
    const at = time(value);
    if (!oldest || at < oldest.at || (at === oldest.at && key < oldest.key)) oldest = { key, at };
  }
  if (oldest) map.delete(oldest.key);
}
