// Our raised hand. It refers to our member event, so that nobody can raise ours; when that is said again, the hand goes with it.

export interface OwnHandOptions {
  readonly set: (memberEvent: string, up: boolean) => Promise<void>;
}

export class OwnHand {
  readonly #options: OwnHandOptions;
  /** The event that it refers to. */
  #at: string | null = null;

  constructor(options: OwnHandOptions) {
    this.#options = options;
  }

  async raise(memberEvent: string, up: boolean): Promise<void> {
    this.#at = up ? memberEvent : null;
    await this.#options.set(memberEvent, up);
  }

  /** Our event, as the room shows it now. */
  async follow(memberEvent: string): Promise<void> {
    const before = this.#at;
    if (before === null || before === memberEvent) return;
    this.#at = memberEvent;
    await this.#options.set(memberEvent, true);
    await this.#options.set(before, false);
  }
}
