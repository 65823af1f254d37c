// Our own member event, in one of its two formats: what `own-member.ts` needs to know of it.

import type { Clock } from '../clock.ts';
import { HomeserverError, type Homeserver, type Room, type Target } from './homeserver.ts';
import type { Profile } from './legacy-member.ts';
import type { Transport } from './transport.ts';

const RETRY_MS = 1_000;
const RETRIES = 10;

export interface OwnEventOptions {
  readonly homeserver: Homeserver;
  readonly room: Pick<Room, 'id' | 'version' | 'sendSticky'>;
  readonly clock: Clock;
  readonly wallClock: () => number;
  readonly slot: string;
  readonly memberId: string;
  readonly intent: string;
  readonly profile: Profile;
}

export interface Saying {
  readonly transports: readonly Transport[];
  /** `null` with the first event of this join. */
  readonly createdAt: number | null;
  /** How often it was said again because it was about to run out. */
  readonly renewals: number;
}

export interface Said {
  readonly eventId: string | null;
  /** Then it must have been said again, by the wall clock. */
  readonly renewBy: number;
  /** Devices that can read it; `null`: all, it is in clear. */
  readonly readers: readonly Target[] | null;
}

export interface OwnEvent {
  /** `null`: it is no state, and nobody can write over it. */
  readonly stateKey: string | null;
  join(saying: Saying): Promise<Said>;
  leave(): Promise<unknown>;
  /** Has the homeserver say the leave after `delayMs`. Its delay id; `null`: it has said it at once. */
  scheduleLeave(delayMs: number): Promise<string | null>;
}

/** A busy or unreachable homeserver is asked again; a no is a no. */
export async function persistently<T>(clock: Clock, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const passing = error instanceof HomeserverError && (error.status === 0 || error.status === 429 || error.status >= 500);
      if (!passing || attempt >= RETRIES) throw error;
      await new Promise<void>((resolve) => void clock.after(error.retryAfterMs ?? RETRY_MS, resolve));
    }
  }
}
