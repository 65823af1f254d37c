// How long to wait before the next attempt: at once, then 0.5 s, 1 s, 2 s … 10 s, each shortened by up to half, so that
// the clients of a restarted focus do not all come back in the same moment.

const FIRST_MS = 500;
const LONGEST_MS = 10_000;

export class Backoff {
  #attempts = 0;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  get attempts(): number {
    return this.#attempts;
  }

  next(): number {
    const attempt = this.#attempts++;
    if (attempt === 0) return 0;
    const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** (attempt - 1));
    return full * (1 - this.#random() / 2);
  }

  reset(): void {
    this.#attempts = 0;
  }
}
