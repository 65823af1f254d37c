// After we left. Whoever has the power may write over our state key, and where two servers disagree such an event may win over
// our leave. For those who go by what the owner of a key said last we would then still be in the call: so it is said again.

import type { Clock } from '../clock.ts';
import type { Room } from './homeserver.ts';
import { LEGACY_TYPE } from './membership.ts';

/** What another server accepted at the same time is here by then. A page that is closed cannot wait for it; then the event expires. */
export const WATCH_MS = 30_000;
/** Nobody can make us flood the room. */
export const AGAIN_MS = 3_000;
export const AGAIN_MAX = 5;

export interface AfterLeaveOptions {
  readonly room: Pick<Room, 'state' | 'onChange'>;
  readonly clock: Clock;
  readonly user: string;
  readonly stateKey: string;
  readonly sayLeave: () => Promise<unknown>;
}

/** Whether somebody else's event stands where only ours counts. */
export function isOverwritten(room: Pick<Room, 'state'>, stateKey: string, user: string): boolean {
  return room.state(LEGACY_TYPE).some((event) => event.stateKey === stateKey && event.sender !== user);
}

/** Returns what ends it: a new join, for instance. */
export function watchLeave({ room, clock, user, stateKey, sayLeave }: AfterLeaveOptions): () => void {
  let left = AGAIN_MAX;
  let isWaiting = false;
  const cancels: (() => void)[] = [];
  const look = (): void => {
    if (isWaiting || left === 0 || !isOverwritten(room, stateKey, user)) return;
    left--;
    isWaiting = true;
    void sayLeave().catch(() => undefined);
    cancels.push(clock.after(AGAIN_MS, () => {
      isWaiting = false;
      look();
    }));
  };
  const stop = (): void => {
    unwatch();
    left = 0;
    for (const cancel of cancels.splice(0)) cancel();
  };
  const unwatch = room.onChange(look);
  cancels.push(clock.after(WATCH_MS, stop));
  look();
  return stop;
}
