// Which counters of a key were opened already. A counter is refused when it was opened before, or when it is so old
// that the window cannot tell. Merely being older than the newest is no reason: all tracks and layers of a sender share
// one counter, and the network reorders between them.

/**
 * Counters below the newest that are still told apart. A sender with microphone (50 frames/s), camera in three layers
 * (90/s), screen and screen audio uses up to some 220 counters a second, so this is about 18 s of reordering. 512 bytes.
 */
export const REPLAY_WINDOW = 4096;

export class ReplayWindow {
  readonly #bits: Uint32Array;
  readonly #size: bigint;
  #newest = -1n;

  constructor(size: number = REPLAY_WINDOW) {
    if (size % 32 !== 0 || size <= 0) throw new RangeError('the window is a multiple of 32');
    this.#bits = new Uint32Array(size / 32);
    this.#size = BigInt(size);
  }

  /** Whether a frame with this counter may be opened. */
  fresh(ctr: bigint): boolean {
    if (ctr > this.#newest) return true;
    if (ctr <= this.#newest - this.#size) return false;
    return (this.#word(ctr) & this.#bit(ctr)) === 0;
  }

  /** To be called only once the frame was authenticated, or a forger could close the window. */
  mark(ctr: bigint): void {
    if (ctr > this.#newest) {
      if (ctr - this.#newest >= this.#size) this.#bits.fill(0);
      else for (let passed = this.#newest + 1n; passed < ctr; passed++) this.#clear(passed);
      this.#clear(ctr);
      this.#newest = ctr;
    }
    const index = this.#index(ctr);
    this.#bits[index] = (this.#bits[index] ?? 0) | this.#bit(ctr);
  }

  #index(ctr: bigint): number {
    return Number((ctr % this.#size) >> 5n);
  }

  #bit(ctr: bigint): number {
    return 1 << Number(ctr & 31n);
  }

  #word(ctr: bigint): number {
    return this.#bits[this.#index(ctr)] ?? 0;
  }

  #clear(ctr: bigint): void {
    const index = this.#index(ctr);
    this.#bits[index] = (this.#bits[index] ?? 0) & ~this.#bit(ctr);
  }
}
