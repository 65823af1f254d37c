// The way into a focus: its address first, if it has one. Its Matrix device is for a focus without an address, or one that does not
// answer there. Somebody whom it refuses is refused whichever way he comes.

import { realClock, type Clock } from '../clock.ts';
import { CallError } from '../errors.ts';
import type { Access, ByDevice } from '../token.ts';
import { getAccess, type AccessRequest } from './access.ts';
import { byDevice } from './post.ts';

/** A homeserver may take a minute to find out that the focus does not answer. */
export const ANSWER_MS = 6_000;

export interface EnterRequest extends AccessRequest {
  readonly clock?: Clock;
}

export async function enter(request: EnterRequest): Promise<Access | ByDevice> {
  const { focus, clock = realClock } = request;
  const device = deviceOf(request);
  if (!device) return getAccess(request);
  if (focus.url === null) return device;
  try {
    return { ...(await within(clock, ANSWER_MS, getAccess(request))), otherwise: device };
  } catch (error) {
    // A device needs no token, so that nobody needs to give one.
    if (error instanceof CallError && (error.code === 'unreachable' || error.code === 'no-token-service')) return device;
    throw error;
  }
}

function deviceOf({ homeserver, room, slot, memberId, focus, clock }: EnterRequest): ByDevice | null {
  if (!focus.matrix) return null;
  return byDevice({ homeserver, focus: focus.matrix, claims: { room_id: room, slot_id: slot, member_id: memberId }, ...(clock ? { clock } : {}) });
}

function within<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => reject(new CallError('unreachable', 'no answer in time')));
    promise.finally(cancel).then(resolve, reject);
  });
}
