// The lines of a call's history, derived from member events as they stand in the timeline: nobody writes a history event.

import * as fields from './fields.ts';
import type { RawEvent } from './homeserver.ts';
import { LEGACY_TYPE, STICKY_TYPES } from './membership.ts';
import { readMember } from './session.ts';

export type HistoryKind = 'joined' | 'left' | 'lost';

export interface HistoryLine {
  readonly kind: HistoryKind;
  readonly user: string;
  readonly at: number;
}

/** Lines that are kept; older ones stand in the room anyway. */
export const LINES_MAX = 200;
/** Words that clients write when the homeserver, and not they, said that they left. */
const LOST_CODES: readonly string[] = ['delayed_leave', 'delayed', 'lost', 'lostConnection'];

export class History {
  readonly #present = new Map<string, { memberId: string }>();
  readonly #lines: HistoryLine[] = [];

  get lines(): readonly HistoryLine[] {
    return this.#lines;
  }

  /** Returns whether there is a new line. Renewals make none. */
  handle(event: RawEvent): boolean {
    if (event.type !== LEGACY_TYPE && !STICKY_TYPES.includes(event.type)) return false;
    const place = `${event.sender} ${event.stateKey ?? String(event.content['msc4354_sticky_key'] ?? event.content['sticky_key'] ?? '')}`;
    const claim = readMember(event);
    const before = this.#present.get(place);
    if (claim.is === 'joined') {
      this.#present.set(place, { memberId: claim.membership.memberId });
      if (before?.memberId === claim.membership.memberId) return false;
      return this.#add('joined', event);
    }
    if (claim.is !== 'left' || !before) return false;
    this.#present.delete(place);
    return this.#add(LOST_CODES.includes(fields.leaveOf(event.content).code ?? '') ? 'lost' : 'left', event);
  }

  #add(kind: HistoryKind, { sender, originServerTs }: RawEvent): boolean {
    this.#lines.push({ kind, user: sender, at: originServerTs });
    this.#lines.splice(0, this.#lines.length - LINES_MAX);
    return true;
  }
}
