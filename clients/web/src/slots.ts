// The pool of receiving m-lines. A slot carries one track at a time; when that ends the slot is free for another one, and
// no new offer is needed. Slots are made in batches, because each batch costs an offer and an answer.

import type { Kind } from './wire.ts';

/** What a slot needs of an `RTCRtpTransceiver`. */
export interface SlotMedia {
  /** `null` until the offer with this m-line was made. */
  readonly mid: string | null;
}

export interface Slot<M extends SlotMedia> {
  /** Name within this client: there before the mid is. */
  readonly name: string;
  readonly kind: Kind;
  readonly media: M;
  track: string | null;
}

/** How many slots are added when none is free. A call mostly grows by one person: one microphone, one camera. */
export const BATCH: Record<Kind, number> = { audio: 4, video: 3 };

export class SlotPool<M extends SlotMedia> {
  readonly #create: (kind: Kind, name: string) => M;
  readonly #grown: () => void;
  readonly #slots: Slot<M>[] = [];
  /** Longest free first: late packets of the track before have then most likely passed. */
  readonly #free: Record<Kind, Slot<M>[]> = { audio: [], video: [] };
  readonly #byTrack = new Map<string, Slot<M>>();

  /** `grown` is called when there are new slots, which need an offer. */
  constructor(create: (kind: Kind, name: string) => M, grown: () => void) {
    this.#create = create;
    this.#grown = grown;
  }

  get(track: string): Slot<M> | undefined {
    return this.#byTrack.get(track);
  }

  all(): readonly Slot<M>[] {
    return this.#slots;
  }

  /** The slot of this track; it may have no mid yet. */
  assign(track: string, kind: Kind): Slot<M> {
    const existing = this.#byTrack.get(track);
    if (existing) return existing;
    if (this.#free[kind].length === 0) this.grow(kind, BATCH[kind]);
    const slot = this.#free[kind].shift();
    if (!slot) throw new Error('a batch has at least one slot');
    slot.track = track;
    this.#byTrack.set(track, slot);
    return slot;
  }

  /** Frees the slot of this track, if it has one. */
  release(track: string): Slot<M> | undefined {
    const slot = this.#byTrack.get(track);
    if (!slot) return undefined;
    this.#byTrack.delete(track);
    slot.track = null;
    this.#free[slot.kind].push(slot);
    return slot;
  }

  grow(kind: Kind, count: number): void {
    for (let i = 0; i < count; i++) {
      const name = `${kind}-${this.#slots.length}`;
      const slot: Slot<M> = { name, kind, media: this.#create(kind, name), track: null };
      this.#slots.push(slot);
      this.#free[kind].push(slot);
    }
    this.#grown();
  }
}
