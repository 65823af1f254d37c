// Our own membership: the last will first, then the event that joins, renewed before it runs out and said again whenever it
// is gone from the room. At the end the event that leaves.

import type { Clock } from '../clock.ts';
import { isOverwritten, watchLeave } from './after-leave.ts';
import { HomeserverError, type Homeserver, type Room } from './homeserver.ts';
import { LastWill } from './last-will.ts';
import { EXPIRES_MS, joinContent, stateKey, type Profile } from './legacy-member.ts';
import { stringAt } from './json.ts';
import { LEGACY_TYPE } from './membership.ts';
import type { Transport } from './transport.ts';

const HEADROOM_MS = 5_000;
const RETRY_MS = 1_000;
const RETRIES = 10;
/** The room shows what we said only a sync later. */
const SETTLE_MS = 3_000;

export interface OwnMemberOptions {
  readonly homeserver: Homeserver;
  readonly clock: Clock;
  readonly room: string;
  readonly roomVersion: string;
  readonly slot: string;
  readonly memberId: string;
  readonly intent: string;
  readonly profile?: Profile;
  readonly wallClock: () => number;
  /** The delayed leave that the homeserver holds for us now. */
  readonly willChanged?: (delayId: string | null) => void;
}

export class OwnMember {
  readonly #options: OwnMemberOptions;
  readonly #key: string;
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

  constructor(options: OwnMemberOptions) {
    this.#options = options;
    const { homeserver, clock, room, roomVersion, slot } = options;
    this.#key = stateKey(roomVersion, homeserver.user, homeserver.device, slot);
    this.will = new LastWill({ homeserver, clock, room, type: LEGACY_TYPE, stateKey: this.#key, content: { leave_reason: 'delayed_leave' }, lost: () => void this.#say().catch(() => undefined), changed: (delayId) => options.willChanged?.(delayId) });
  }

  get stateKey(): string {
    return this.#key;
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

  /** Other transports than before, for instance because the call has grown out of a mesh. */
  async publish(transports: readonly Transport[]): Promise<void> {
    this.#transports = transports;
    if (this.#present) await this.#say();
  }

  /** Our event, as the room shows it now. One that somebody removed or wrote over is said again, a moment later at the earliest. */
  seen(event: { readonly eventId: string; readonly isOurs: boolean; readonly sentAt: number } | null, room: Pick<Room, 'state'>): void {
    const { clock, homeserver } = this.#options;
    this.#cancelAgain();
    if (event?.isOurs && !isOverwritten(room, this.#key, homeserver.user)) {
      this.#createdAt ??= event.sentAt;
      this.#eventId = event.eventId;
    } else if (this.#present && this.#createdAt !== null) {
      this.#cancelAgain = clock.after(Math.max(0, this.#saidAt + SETTLE_MS - clock.now()), () => void this.#say().catch(() => undefined));
    }
  }

  /** Then `room` is watched for a while, lest somebody keep us there. */
  async leave(room: Pick<Room, 'state' | 'onChange'>): Promise<void> {
    if (!this.#present) return;
    this.#present = false;
    this.#cancel();
    this.#cancelAgain();
    const { homeserver, clock } = this.#options;
    const sayLeave = (): Promise<unknown> => this.#put({ leave_reason: 'leave' });
    await this.#sending.catch(() => undefined);
    // The leave first: whatever happens to us in between, the will still stands.
    await sayLeave().catch(() => undefined);
    await this.will.close();
    if (!this.#isForgotten) this.#stopWatch = watchLeave({ room, clock, user: homeserver.user, stateKey: this.#key, sayLeave });
  }

  /** We may join again: what this one still had to say about having left must not be said any more. */
  forget(): void {
    this.#isForgotten = true;
    this.#stopWatch();
  }

  /** Several at once become one after the other: the newest must be the last that the room hears. */
  #say(): Promise<void> {
    this.#sending = this.#sending.catch(() => undefined).then(() => (this.#present ? this.#sayNow() : undefined));
    return this.#sending;
  }

  async #sayNow(): Promise<void> {
    const { homeserver, memberId, slot, intent, profile = 'interop', wallClock } = this.#options;
    const expiresMs = EXPIRES_MS * (this.#renewals + 1);
    const content = joinContent({ device: homeserver.device, memberId, slot, intent, transports: this.#transports, createdAt: this.#createdAt, expiresMs, profile });
    this.#eventId = stringAt(await this.#put(content), 'event_id');
    this.#saidAt = this.#options.clock.now();
    const left = (this.#createdAt ?? wallClock()) + expiresMs - HEADROOM_MS - wallClock();
    this.#cancel();
    this.#cancel = this.#options.clock.after(Math.max(left, RETRY_MS), () => {
      this.#renewals++;
      void this.#say().catch(() => undefined);
    });
  }

  async #put(content: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, unknown>>> {
    const { homeserver, room, clock } = this.#options;
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/state/${encodeURIComponent(LEGACY_TYPE)}/${encodeURIComponent(this.#key)}`;
    for (let attempt = 1; ; attempt++) {
      try {
        return await homeserver.request('PUT', path, content);
      } catch (error) {
        const passing = error instanceof HomeserverError && (error.status === 0 || error.status === 429 || error.status >= 500);
        if (!passing || attempt >= RETRIES) throw error;
        await new Promise<void>((resolve) => void clock.after(error.retryAfterMs ?? RETRY_MS, resolve));
      }
    }
  }
}
