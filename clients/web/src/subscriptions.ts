// Wanted subscriptions against what the focus was told: only differences are sent.

import type { Want } from './wire.ts';

/** What one wants of a track. Sizes are in device pixels; audio has none. */
export interface Wish {
  readonly width?: number;
  readonly height?: number;
  readonly fps?: number;
}

function same(a: Want, b: Want): boolean {
  return a.mid === b.mid && a.width === b.width && a.height === b.height && a.fps === b.fps;
}

export class Subscriptions {
  readonly #wished = new Map<string, Wish>();
  readonly #told = new Map<string, Want>();

  wish(track: string, wish: Wish): void {
    this.#wished.set(track, wish);
  }

  /** The track is not wanted any more. */
  drop(track: string): void {
    this.#wished.delete(track);
  }

  /** The track is no more: the focus has ended the subscription itself. */
  ended(track: string): void {
    this.#wished.delete(track);
    this.#told.delete(track);
  }

  has(track: string): boolean {
    return this.#wished.has(track);
  }

  /** After a resume: tell everything again. */
  forgetTold(): void {
    this.#told.clear();
  }

  /** What to tell the focus now. `midOf` is `null` for a track whose slot has not been offered yet; it waits. */
  changes(midOf: (track: string) => string | null): Want[] {
    const off: Want[] = [];
    const on: Want[] = [];
    for (const track of this.#told.keys()) {
      if (!this.#wished.has(track)) off.push({ track, off: true });
    }
    for (const [track, wish] of this.#wished) {
      const mid = midOf(track);
      if (mid === null) continue;
      const want: Want = { track, mid, ...wish };
      const told = this.#told.get(track);
      if (!told || !same(told, want)) on.push(want);
    }
    // First what frees slots, then what may take them.
    return [...off, ...on];
  }

  /** The focus was told these. */
  told(wants: readonly Want[]): void {
    for (const want of wants) {
      if (want.off) this.#told.delete(want.track);
      else this.#told.set(want.track, want);
    }
  }
}
