// The "last will" (MSC4140): the event that says we left is left with the homeserver, which sends it unless we ask it again
// and again to wait. So a page that is killed is gone for the others within the delay.

import type { Clock } from '../clock.ts';
import { HomeserverError, type Homeserver } from './homeserver.ts';
import { integerAt } from './json.ts';

/** Gone this long after the last restart; the promise is 12 s for all of it. */
export const DELAY_MS = 10_000;
export const RESTART_MS = 5_000;
/** While a focus restarts it for us. */
export const LENT_DELAY_MS = 3_600_000;
const RETRY_MS = 1_000;
const LIMITED_MS = 5_000;
const UNSTABLE = '/_matrix/client/unstable/org.matrix.msc4140';

export interface LastWillOptions {
  readonly homeserver: Homeserver;
  readonly clock: Clock;
  /** Gives the homeserver the leave, to be sent after so long. Its delay id; `null`: it was sent at once. */
  readonly schedule: (delayMs: number) => Promise<string | null>;
  /** The homeserver may have sent it: our membership must be said anew. */
  readonly lost: () => void;
  /** The one that the homeserver holds now is another. */
  readonly changed?: (delayId: string | null) => void;
}

type State =
  | { readonly is: 'off' }
  | { readonly is: 'unsupported' }
  | { readonly is: 'scheduled'; readonly delayId: string }
  /** Somebody else restarts this one, which waits long. */
  | { readonly is: 'lent'; readonly delayId: string };

export class LastWill {
  readonly #options: LastWillOptions;
  #held: State = { is: 'off' };
  #cancel: () => void = () => undefined;
  #closed = false;
  #maxDelayMs = Infinity;

  constructor(options: LastWillOptions) {
    this.#options = options;
  }

  get #state(): State {
    return this.#held;
  }

  set #state(state: State) {
    const { delayId } = this;
    this.#held = state;
    if (this.delayId !== delayId) this.#options.changed?.(this.delayId);
  }

  get delayId(): string | null {
    return this.#state.is === 'scheduled' || this.#state.is === 'lent' ? this.#state.delayId : null;
  }

  get isLent(): boolean {
    return this.#state.is === 'lent';
  }

  get supported(): boolean {
    return this.#state.is !== 'unsupported';
  }

  /** Before the event that joins. Without support for it we join all the same. */
  async schedule(delayMs = DELAY_MS): Promise<void> {
    const delay = Math.min(delayMs, this.#maxDelayMs);
    try {
      const delayId = await this.#options.schedule(delay);
      if (delayId === null) {
        // The homeserver did not know the parameter and has sent the leave at once. The join that follows undoes it.
        this.#state = { is: 'unsupported' };
        return;
      }
      if (this.#closed) return void this.#act(delayId, 'cancel').catch(() => undefined);
      this.#state = { is: 'scheduled', delayId };
      this.#later(RESTART_MS, () => this.#restart());
    } catch (error) {
      if (!(error instanceof HomeserverError)) throw error;
      const max = integerAt(error.body, 'org.matrix.msc4140.max_delay');
      if (max !== null && max > 0 && max < delay) {
        this.#maxDelayMs = max;
        return this.schedule(delayMs);
      }
      // Only a busy or unreachable homeserver will do it later; all else means that it does not do it.
      if (error.status === 0 || error.status === 429 || error.status >= 500) this.#later(waitOf(error), () => this.#again(delayMs));
      else this.#state = { is: 'unsupported' };
    }
  }

  /** A second one that waits long, for a focus to restart. Ours goes on until it has agreed. `null`: there is none to lend. */
  async toLend(): Promise<{ delayId: string; delayMs: number } | null> {
    if (this.#state.is !== 'scheduled') return null;
    const delayMs = Math.min(LENT_DELAY_MS, this.#maxDelayMs);
    const delayId = await this.#options.schedule(delayMs).catch(() => null);
    return delayId === null ? null : { delayId, delayMs };
  }

  /** The focus restarts it from now on. */
  lent(delayId: string): void {
    if (this.#state.is !== 'scheduled' || this.#closed) return void this.forget(delayId);
    const own = this.#state.delayId;
    this.#cancel();
    this.#state = { is: 'lent', delayId };
    this.forget(own);
  }

  /** The focus may not be there to restart it: we do it ourselves again. */
  async takeBack(): Promise<void> {
    if (this.#state.is !== 'lent') return;
    const { delayId } = this.#state;
    // The new one first. The lent one would else say after an hour that we left.
    await this.schedule();
    this.forget(delayId);
  }

  /** One that nobody restarts any more must not be sent. */
  forget(delayId: string): void {
    void this.#act(delayId, 'cancel').catch(() => undefined);
  }

  /** One of a membership that is over and has another place than ours: it is to be sent now. */
  fire(delayId: string): void {
    void this.#act(delayId, 'send').catch(() => undefined);
  }

  /** At the end, when the leave was sent: nothing is to come after it. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    const { delayId } = this;
    this.#state = { is: 'off' };
    // One that is gone already is as good as cancelled.
    if (delayId !== null) await this.#act(delayId, 'cancel').catch(() => undefined);
  }

  #restart(): void {
    if (this.#state.is !== 'scheduled' || this.#closed) return;
    const { delayId } = this.#state;
    this.#act(delayId, 'restart').then(
      () => this.#later(RESTART_MS, () => this.#restart()),
      (error: unknown) => this.#failed(error, delayId),
    );
  }

  #failed(error: unknown, delayId: string): void {
    if (this.#closed || this.delayId !== delayId) return;
    const known = error instanceof HomeserverError ? error : null;
    if (known && (known.status === 404 || known.status === 409)) {
      // It was sent, or cancelled by an event of ours on the same key. Both are told by the room; a new one is needed.
      this.#state = { is: 'off' };
      this.#again(DELAY_MS);
    } else {
      this.#later(known ? waitOf(known) : RETRY_MS, () => this.#restart());
    }
  }

  #again(delayMs: number): void {
    if (this.#closed) return;
    void this.schedule(delayMs).then(() => (this.#closed ? undefined : this.#options.lost()));
  }

  #later(ms: number, work: () => void): void {
    this.#cancel();
    if (!this.#closed) this.#cancel = this.#options.clock.after(ms, work);
  }

  async #act(delayId: string, action: 'restart' | 'cancel' | 'send'): Promise<void> {
    const id = encodeURIComponent(delayId);
    try {
      await this.#options.homeserver.request('POST', `${UNSTABLE}/delayed_events/${id}/${action}`, {});
    } catch (error) {
      // Before the action became part of the path it was part of the body.
      if (!(error instanceof HomeserverError) || error.errcode !== 'M_UNRECOGNIZED') throw error;
      await this.#options.homeserver.request('POST', `${UNSTABLE}/delayed_events/${id}`, { action });
    }
  }
}

function waitOf(error: HomeserverError): number {
  if (error.status !== 429) return RETRY_MS;
  return error.retryAfterMs ?? LIMITED_MS;
}
