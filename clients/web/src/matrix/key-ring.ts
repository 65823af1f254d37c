// Our own keys: when a new one is made, who gets it, and when it is used.
//
//   we join         key 0, used at once, to everybody
//   somebody left   a new key to those who stay, used a moment later: who left never holds a key that is used after that
//   somebody came   a new key too, so that he cannot open what was sent before; unless the present one is still young, when it
//                   is shared, since many come in the first seconds of a call
//   several         those who leave within a quarter of a second cause one new key; it is used as soon as the first of them asks

import type { Clock } from '../clock.ts';
import type { MediaKey } from './key-message.ts';
import { KEY_INDEXES } from '../e2ee/member-keys.ts';
import type { Membership } from './membership.ts';
import { stayOf } from './session.ts';

export const USE_DELAY_MS = 1_000;
export const GRACE_MS = 10_000;
/** A whole call that breaks up must not make a key for each who leaves. What is left of the use delay is enough to deliver it. */
export const COALESCE_MS = 250;
/** What all deployed clients send and take. */
const KEY_BYTES = 16;

export interface KeyRingOptions {
  readonly clock: Clock;
  readonly newKey?: () => Uint8Array;
  readonly prepare: (key: MediaKey) => void;
  readonly use: (index: number) => void;
  readonly send: (key: MediaKey, to: readonly Membership[]) => void;
}

export class KeyRing {
  readonly #options: KeyRingOptions;
  #present: readonly Membership[] = [];
  /** The newest key, and the one that everything is sent under. They differ while a new one is on its way to the others. */
  #newest: MediaKey;
  #inUse: MediaKey;
  #drawnAt: number;
  #isDrawing = false;
  readonly #cancels = new Set<() => void>();

  constructor(options: KeyRingOptions) {
    this.#options = options;
    this.#newest = this.#inUse = { index: 0, key: this.#draw() };
    this.#drawnAt = options.clock.now();
    options.prepare(this.#inUse);
    options.use(0);
  }

  /** Everybody else who is there now. */
  setMembers(present: readonly Membership[]): void {
    const before = new Set(this.#present.map(stayOf));
    const now = new Set(present.map(stayOf));
    const joined = present.filter((member) => !before.has(stayOf(member)));
    const someLeft = this.#present.some((member) => !now.has(stayOf(member)));
    this.#present = present;
    if (someLeft) this.rotate();
    else if (joined.length > 0) this.#admit(joined);
  }

  /** Whoever has left by now holds no key that is used later than the use delay from now. */
  rotate(): void {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    const { clock } = this.#options;
    const due = clock.now() + USE_DELAY_MS;
    const wait = Math.max(0, this.#drawnAt + COALESCE_MS - clock.now());
    if (wait === 0 || this.#newest.index === 0) this.#next(due);
    else this.#after(wait, () => this.#next(due));
  }

  close(): void {
    for (const cancel of this.#cancels) cancel();
    this.#cancels.clear();
  }

  #next(due: number): void {
    const { clock, prepare, send, use } = this.#options;
    const next = { index: (this.#newest.index + 1) % KEY_INDEXES, key: this.#draw() };
    this.#newest = next;
    this.#drawnAt = clock.now();
    this.#isDrawing = false;
    prepare(next);
    if (this.#present.length > 0) send(next, this.#present);
    this.#after(due - clock.now(), () => {
      this.#inUse = next;
      use(next.index);
    });
  }

  #admit(joined: readonly Membership[]): void {
    const { clock, send } = this.#options;
    // Not used yet, it can be the first of those who come.
    const isUnused = this.#newest !== this.#inUse;
    if (isUnused || clock.now() - this.#drawnAt < GRACE_MS) send(this.#newest, joined);
    else this.rotate();
  }

  #after(ms: number, work: () => void): void {
    const cancel = this.#options.clock.after(ms, () => {
      this.#cancels.delete(cancel);
      work();
    });
    this.#cancels.add(cancel);
  }

  #draw(): Uint8Array {
    return this.#options.newKey?.() ?? crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  }
}
