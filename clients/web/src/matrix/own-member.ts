// Our own membership: the last will first, then the event that joins, renewed before it runs out and said again whenever it
// is gone from the room, or somebody comes who could not read it. At the end the event that leaves.

import type { Clock } from '../clock.ts';
import { isOverwritten, watchLeave } from './after-leave.ts';
import type { Homeserver, Room, Target } from './homeserver.ts';
import { LastWill } from './last-will.ts';
import type { Profile } from './legacy-member.ts';
import type { MemberFormat } from './member-format.ts';
import type { OwnEvent } from './own-event.ts';
import { OwnState } from './own-state.ts';
import { OwnSticky } from './own-sticky.ts';
import type { Transport } from './transport.ts';

const RENEWAL_MS_MIN = 1_000;
/** The room shows what we said only a sync later. */
const SETTLE_MS = 3_000;

export interface OwnMemberOptions {
  readonly homeserver: Homeserver;
  readonly clock: Clock;
  readonly room: Pick<Room, 'id' | 'version' | 'sendSticky'>;
  readonly slot: string;
  readonly memberId: string;
  readonly intent: string;
  readonly format: MemberFormat;
  readonly profile: Profile;
  readonly wallClock: () => number;
  /** The delayed leave that the homeserver holds for us now. */
  readonly willChanged?: (delayId: string | null) => void;
}

export class OwnMember {
  readonly #options: OwnMemberOptions;
  readonly #event: OwnEvent;
  readonly will: LastWill;
  #transports: readonly Transport[] = [];
  #createdAt: number | null = null;
  #renewals = 0;
  /** The renewal. */
  #cancel: () => void = () => undefined;
  /** Saying again what is gone from the room. */
  #cancelAgain: () => void = () => undefined;
  #stopWatch: () => void = () => undefined;
  #isForgotten = false;
  #present = false;
  #sending: Promise<void> = Promise.resolve();
  #eventId: string | null = null;
  #saidAt = 0;
  /** Devices that it was encrypted for, and those for which it was said again. `null`: it is in clear. */
  #readers: Set<string> | null = null;

  constructor(options: OwnMemberOptions) {
    this.#options = options;
    this.#event = options.format === 'sticky' ? new OwnSticky(options) : new OwnState(options);
    const { homeserver, clock } = options;
    this.will = new LastWill({ homeserver, clock, schedule: (delayMs) => this.#event.scheduleLeave(delayMs), lost: () => this.#sayAgain(), changed: (delayId) => options.willChanged?.(delayId) });
  }

  get stateKey(): string | null {
    return this.#event.stateKey;
  }

  get memberId(): string {
    return this.#options.memberId;
  }

  /** Of the last event that joined; raised hands refer to it. */
  get eventId(): string | null {
    return this.#eventId;
  }

  async join(transports: readonly Transport[]): Promise<void> {
    this.#transports = transports;
    this.#present = true;
    await this.will.schedule();
    await this.#say();
  }

  /** Of the page before this one, which the homeserver still holds. */
  endFormer(delayId: string): void {
    // State that we have said anew must not be taken back; an event with a key of its own has to be.
    if (this.stateKey === null) this.will.fire(delayId);
    else this.will.forget(delayId);
  }

  /** Other transports than before, for instance because the call has grown out of a mesh. */
  async publish(transports: readonly Transport[]): Promise<void> {
    this.#transports = transports;
    if (this.#present) await this.#say();
  }

  /**
   * Our event, as the room shows it now, and who else is in the call. One that somebody removed or wrote over is said again, and so is
   * one that a device among them cannot read, a moment later at the earliest.
   */
  seen(event: { readonly eventId: string; readonly isOurs: boolean; readonly sentAt: number } | null, room: Pick<Room, 'state'>, others: readonly Target[] = []): void {
    this.#cancelAgain();
    if (event?.isOurs && !this.#isOverwritten(room)) {
      this.#createdAt ??= event.sentAt;
      this.#eventId = event.eventId;
      const strangers = others.map(keyOf).filter((other) => this.#readers?.has(other) === false);
      if (strangers.length > 0) this.#soon(() => this.#sayTo(strangers));
    } else if (this.#createdAt !== null) {
      this.#soon(() => this.#sayAgain());
    }
  }

  /** Then `room` is watched for a while, lest somebody keep us there. */
  async leave(room: Pick<Room, 'state' | 'onChange'>): Promise<void> {
    if (!this.#present) return;
    this.#present = false;
    this.#cancel();
    this.#cancelAgain();
    const { homeserver, clock } = this.#options;
    const { stateKey } = this;
    const sayLeave = (): Promise<unknown> => this.#event.leave();
    await this.#sending.catch(() => undefined);
    // The leave first: whatever happens to us in between, the will still stands.
    await sayLeave().catch(() => undefined);
    await this.will.close();
    if (!this.#isForgotten && stateKey !== null) this.#stopWatch = watchLeave({ room, clock, user: homeserver.user, stateKey, sayLeave });
  }

  /** We may join again: what this one still had to say about having left must not be said any more. */
  forget(): void {
    this.#isForgotten = true;
    this.#stopWatch();
  }

  #isOverwritten(room: Pick<Room, 'state'>): boolean {
    return this.stateKey !== null && isOverwritten(room, this.stateKey, this.#options.homeserver.user);
  }

  #soon(work: () => void): void {
    const { clock } = this.#options;
    if (this.#present) this.#cancelAgain = clock.after(Math.max(0, this.#saidAt + SETTLE_MS - clock.now()), work);
  }

  #sayAgain(): void {
    void this.#say().catch(() => undefined);
  }

  /** Once for each of them: a device that cannot be encrypted for must not make us say it for ever. */
  #sayTo(strangers: readonly string[]): void {
    for (const stranger of strangers) this.#readers?.add(stranger);
    void this.#say().catch(() => strangers.forEach((stranger) => this.#readers?.delete(stranger)));
  }

  /** Several at once become one after the other: the newest must be the last that the room hears. */
  #say(): Promise<void> {
    this.#sending = this.#sending.catch(() => undefined).then(() => (this.#present ? this.#sayNow() : undefined));
    return this.#sending;
  }

  async #sayNow(): Promise<void> {
    const { clock, wallClock } = this.#options;
    const { eventId, renewBy, readers } = await this.#event.join({ transports: this.#transports, createdAt: this.#createdAt, renewals: this.#renewals });
    this.#eventId = eventId;
    this.#readers = readers && new Set([...(this.#readers ?? []), ...readers.map(keyOf)]);
    this.#saidAt = clock.now();
    this.#cancel();
    this.#cancel = clock.after(Math.max(renewBy - wallClock(), RENEWAL_MS_MIN), () => {
      this.#renewals++;
      this.#sayAgain();
    });
  }
}

function keyOf({ user, device }: Target): string {
  return JSON.stringify([user, device]);
}
