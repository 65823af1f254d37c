// When to send with which key. A new key is announced first and used a moment later, so that everybody can open its first
// frame. Several people who leave together cause one rotation. What is sent under the new key is said once that is so: the
// focus serves newcomers no key frame that came before, so it must not hear of it while frames under the old key go out.

import type { Clock } from './clock.ts';
import type { KeySalt } from './wire.ts';

export interface RotationOptions {
  readonly clock: Clock;
  readonly useDelayMs: number;
  readonly newKey: () => { index: number; keys: KeySalt[] };
  readonly announced: () => KeySalt[];
  /** Answered by {@link Rotation.inUse}. */
  readonly useKey: (index: number) => void;
  readonly announce: (keys: KeySalt[], keyIndex: number) => void;
}

export class Rotation {
  readonly #options: RotationOptions;
  #index = 0;
  #cancel: (() => void) | null = null;
  #again = false;

  constructor(options: RotationOptions) {
    this.#options = options;
    const { index } = options.newKey();
    this.#index = index;
    // The first key may be used at once: nothing is sent before the focus has passed on the announcement.
    options.useKey(index);
  }

  /** The key that everything is sent under. */
  get keyIndex(): number {
    return this.#index;
  }

  announce(): void {
    this.#options.announce(this.#options.announced(), this.#index);
  }

  rotate(): void {
    if (this.#cancel) {
      this.#again = true;
      return;
    }
    const { index } = this.#options.newKey();
    this.announce();
    this.#cancel = this.#options.clock.after(this.#options.useDelayMs, () => {
      this.#cancel = null;
      this.#options.useKey(index);
      if (!this.#again) return;
      this.#again = false;
      this.rotate();
    });
  }

  /** The encryption has switched; the key frame that the key begins with is still to come. */
  inUse(index: number): void {
    if (index <= this.#index) return;
    this.#index = index;
    this.announce();
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = null;
  }
}
