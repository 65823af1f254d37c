// Where our media go just now: to nobody, straight to the other one, or to our focus. What the member events say decides, by
// the rule that all follow; until our own event is back nothing is decided, and nothing is sent.

import type { Clock } from '../clock.ts';
import { keyOf, type Membership } from './membership.ts';
import { isMeshAble, topology } from './ways.ts';

export type Course =
  /** Nobody else is there. */
  | 'alone'
  /** We may be about to connect directly: no focus is to hear of us yet. */
  | 'undecided'
  | 'mesh'
  | 'focus';

/** Our own event comes back with a sync, which takes less than a second; a homeserver that is slower shall not keep us silent. */
export const UNDECIDED_MS = 5_000;

export interface Situation {
  /** As the room shows it; `null`: it is not back yet, or somebody removed it. */
  readonly own: Membership | null;
  readonly others: readonly Membership[];
  /** All of them and us, oldest first. */
  readonly everybody: readonly Membership[];
  readonly lastLeftAt: number | null;
  /** A focus carries the call now: then it goes on to, whatever is undecided. */
  readonly overFocus: boolean;
}

export interface CourseOptions {
  readonly clock: Clock;
  readonly wallClock: () => number;
  /** Whether we offer to connect directly at all. */
  readonly mesh: boolean;
  /** It is to be decided again, though nothing has happened. */
  readonly again: () => void;
}

export class CourseKeeper {
  readonly #options: CourseOptions;
  #undecidedSince: number | null = null;
  #cancel: () => void = () => undefined;
  /** The member whom we cannot connect to directly. */
  #unreachable: string | null = null;

  constructor(options: CourseOptions) {
    this.#options = options;
  }

  /** A direct connection to this member could not be made, or broke. */
  failed(member: Membership): void {
    this.#unreachable = keyOf(member);
  }

  decide(situation: Situation): Course {
    this.#cancel();
    const { own, others, everybody, lastLeftAt, overFocus } = situation;
    const { mesh, wallClock } = this.#options;
    const [other] = others;
    if (!other) return this.#decided('alone');
    const mayConnect = mesh && others.length === 1 && isMeshAble(other) && this.#unreachable !== keyOf(other);
    if (!mayConnect) return this.#decided('focus');
    if (!own) return overFocus ? 'focus' : this.#wait();
    const now = wallClock();
    const found = topology(everybody, lastLeftAt, now);
    if (found.is === 'focus' && found.until !== null) this.#later(found.until - now);
    return this.#decided(found.is === 'mesh' ? 'mesh' : 'focus');
  }

  close(): void {
    this.#cancel();
  }

  #decided(course: Course): Course {
    this.#undecidedSince = null;
    return course;
  }

  #wait(): Course {
    const now = this.#options.clock.now();
    this.#undecidedSince ??= now;
    const left = this.#undecidedSince + UNDECIDED_MS - now;
    if (left <= 0) return 'focus';
    this.#later(left);
    return 'undecided';
  }

  #later(ms: number): void {
    this.#cancel = this.#options.clock.after(ms, this.#options.again);
  }
}
