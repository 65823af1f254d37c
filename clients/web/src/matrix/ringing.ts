// Ringing on both sides, the same machines as `matrixrtc::ringing`, held to them by the golden cases of that crate.

import type { RawEvent } from './homeserver.ts';
import { INVITE_LIFETIME_MS_MAX, readDecline, readNotification, type Notification } from './notification.ts';

/** Why a telephone stops ringing. */
export type RingEnd =
  /** We joined, with this or another of our devices. */
  | 'accepted'
  | 'declined'
  /** Nobody took it in time: a missed call. */
  | 'missed'
  /** The caller took it back, or nobody is in the call any more. */
  | 'withdrawn';

export interface IncomingOptions {
  readonly me: string;
  readonly slot: string;
  readonly wallClock: () => number;
  /** Something rings, or (not `loud`) is only to be shown. */
  readonly started?: (notification: Notification) => void;
  readonly stopped?: (eventId: string, why: RingEnd) => void;
}

/** We are called. One call rings at a time. */
export class Incoming {
  readonly #options: IncomingOptions;
  #ringing: Notification | null = null;
  /** Users who are in the call. */
  #members: readonly string[] = [];

  constructor(options: IncomingOptions) {
    this.#options = options;
  }

  /** What rings now. */
  get ringing(): Notification | null {
    return this.#ringing;
  }

  setMembers(users: readonly string[]): void {
    this.#members = users;
    // If the caller has gone and others are there, it goes on: what rings is the call.
    if (users.includes(this.#options.me)) this.#stop('accepted');
    else if (users.length === 0) this.#stop('withdrawn');
  }

  handle(event: RawEvent): void {
    const declined = readDecline(event);
    // Somebody else's no is theirs.
    if (declined !== null && declined === this.#ringing?.eventId && event.sender === this.#options.me) this.#stop('declined');
    const notification = readNotification(event);
    if (notification === 'withdrawn' && this.#ringing?.caller === event.sender) this.#stop('withdrawn');
    else if (notification !== null && typeof notification === 'object') this.#called(notification);
  }

  redacted(eventId: string): void {
    if (this.#ringing?.eventId === eventId) this.#stop('withdrawn');
  }

  /** We decline what rings: the notification that the decline to be sent is about. */
  decline(): string | null {
    const id = this.#ringing?.eventId ?? null;
    this.#stop('declined');
    return id;
  }

  /** Time passed. */
  timeout(): void {
    if (this.#ringing && this.#ringing.until <= this.#options.wallClock()) this.#stop('missed');
  }

  #called(notification: Notification): void {
    const { me, slot, wallClock, started } = this.#options;
    const { caller, mentions } = notification;
    if (caller === me || notification.slot !== slot || !(mentions.room || mentions.users.includes(me))) return;
    // An invite that is sent again replaces the one before; nobody else's may.
    const isBusy = this.#ringing !== null && (this.#ringing.caller !== caller || this.#ringing.eventId === notification.eventId);
    if (notification.until <= wallClock() || this.#members.includes(me) || isBusy) return;
    this.#stop('withdrawn');
    if (notification.loud) this.#ringing = notification;
    started?.(notification);
  }

  #stop(why: RingEnd): void {
    const before = this.#ringing;
    this.#ringing = null;
    if (before) this.#options.stopped?.(before.eventId, why);
  }
}

export type Outcome = 'accepted' | 'declined' | 'timed_out';

export interface OutgoingOptions {
  readonly me: string;
  readonly notification: string;
  /** Those who are meant by it. Only their declines count. */
  readonly callees: readonly string[];
  readonly lifetimeMs: number;
  readonly wallClock: () => number;
}

/** A call of ours, from the moment its notification was sent. */
export class Outgoing {
  readonly #options: OutgoingOptions;
  /** Who has not declined yet. */
  readonly #callees: Set<string>;
  readonly until: number;
  #outcome: Outcome | null = null;

  constructor(options: OutgoingOptions) {
    this.#options = options;
    this.#callees = new Set(options.callees.filter((user) => user !== options.me));
    this.until = options.wallClock() + Math.min(options.lifetimeMs, INVITE_LIFETIME_MS_MAX);
  }

  /** `null` while it rings; the first one stays. */
  get outcome(): Outcome | null {
    return this.#outcome;
  }

  /** Users who are in the call. */
  setMembers(users: readonly string[]): void {
    if (users.some((user) => user !== this.#options.me)) this.#outcome ??= 'accepted';
  }

  handle(event: RawEvent): void {
    if (readDecline(event) === this.#options.notification && this.#callees.delete(event.sender) && this.#callees.size === 0) this.#outcome ??= 'declined';
  }

  /** Time passed. */
  timeout(): void {
    if (this.until <= this.#options.wallClock()) this.#outcome ??= 'timed_out';
  }
}
