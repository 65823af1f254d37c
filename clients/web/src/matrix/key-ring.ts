// Our own keys: when a new one is made, who gets it, and when it is used.
//
//   we join         key 0, used at once, to everybody
//   somebody left   a new key to those who stay, used a moment later: who left never holds a key that is used after that
//   somebody came   a new key too, so that he cannot open what was sent before; unless the present one is still young, when it
//                   is shared, since many come in the first seconds of a call
//   during that     one further key afterwards, however many came and went

import type { Clock } from '../clock.ts';
import type { MediaKey } from './key-message.ts';
import { KEY_INDEXES } from '../e2ee/member-keys.ts';
import type { Membership } from './membership.ts';
import { stayOf } from './session.ts';

export const USE_DELAY_MS = 1_000;
export const GRACE_MS = 10_000;
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
  #key: MediaKey;
  #madeAt: number;
  /** The new key of a rotation that is under way. */
  #next: MediaKey | null = null;
  #again = false;
  #cancel: () => void = () => undefined;

  constructor(options: KeyRingOptions) {
    this.#options = options;
    this.#key = { index: 0, key: this.#draw() };
    this.#madeAt = options.clock.now();
    options.prepare(this.#key);
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

  rotate(): void {
    if (this.#next) {
      this.#again = true;
      return;
    }
    const next = { index: (this.#key.index + 1) % KEY_INDEXES, key: this.#draw() };
    this.#next = next;
    this.#options.prepare(next);
    if (this.#present.length > 0) this.#options.send(next, this.#present);
    this.#cancel = this.#options.clock.after(USE_DELAY_MS, () => this.#use(next));
  }

  close(): void {
    this.#cancel();
  }

  #admit(joined: readonly Membership[]): void {
    const young = this.#options.clock.now() - this.#madeAt < GRACE_MS;
    if (this.#next) {
      // The key under way is not used yet: it can be his first.
      this.#options.send(this.#next, joined);
    } else if (young) {
      this.#options.send(this.#key, joined);
    } else {
      this.rotate();
    }
  }

  #use(next: MediaKey): void {
    this.#key = next;
    this.#madeAt = this.#options.clock.now();
    this.#next = null;
    this.#options.use(next.index);
    if (!this.#again) return;
    this.#again = false;
    this.rotate();
  }

  #draw(): Uint8Array {
    return this.#options.newKey?.() ?? crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  }
}
