// The session of one room as somebody sees it who is in the room, whether or not in the call: its members, what rings, raised
// hands, reactions, and the lines of its history.

import type { Clock } from '../clock.ts';
import { Emitter } from '../emitter.ts';
import { History } from './history.ts';
import type { Homeserver, Room, Trust } from './homeserver.ts';
import { stateKey } from './legacy-member.ts';
import { LEGACY_TYPE, type Membership } from './membership.ts';
import { HAND_EVENT, handContent, Reactions, REACTION_EVENT, reactionContent, type Reaction } from './reactions.ts';
import { DECLINE_TYPE, declineContent, NOTIFICATION_TYPE, notificationContent, Outgoing, Ringing, type OutgoingState, type Ring } from './ringing.ts';
import { changes, isSlotOpen, MemberEvents, members, nextExpiry } from './session.ts';

export interface RoomSessionEvents {
  /** Members, hands, ringing, history or trust: anything that is shown. */
  changed: undefined;
  reaction: Reaction;
}

export interface RoomSessionOptions {
  readonly homeserver: Homeserver;
  readonly room: Room;
  readonly slot: string;
  readonly clock: Clock;
  /** Milliseconds since 1970: events carry those. */
  readonly wallClock: () => number;
  readonly trust: (user: string, device: string) => Promise<Trust>;
}

/** Trust is asked again this often: a verification changes no event. */
const TRUST_MS = 15_000;
/** `setTimeout` takes no more than 31 bits. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export class RoomSession extends Emitter<RoomSessionEvents> {
  readonly options: RoomSessionOptions;
  readonly history = new History();
  readonly reactions = new Reactions();
  readonly #ringing: Ringing;
  readonly #outgoing = new Outgoing();
  readonly #events = new MemberEvents();
  readonly #trust = new Map<string, Trust>();
  readonly #stops: (() => void)[];
  #members: readonly Membership[] = [];
  #lastLeftAt: number | null = null;
  #cancelTimer: () => void = () => undefined;
  #cancelTrust: () => void = () => undefined;

  constructor(options: RoomSessionOptions) {
    super();
    this.options = options;
    const { room, homeserver } = options;
    this.#ringing = new Ringing(homeserver.user);
    this.#members = this.#read();
    this.#stops = [
      room.onChange(() => this.refresh()),
      room.onTimeline((event) => {
        const lines = this.history.handle(event);
        this.#ringing.handle(event);
        this.#outgoing.handle(event, homeserver.user);
        const reaction = this.reactions.handle(event, this.#members, options.wallClock());
        if (reaction) this.emit('reaction', reaction);
        if (lines || !reaction) this.refresh();
      }),
      room.onRedaction((eventId) => {
        this.reactions.redacted(eventId);
        this.emit('changed', undefined);
      }),
    ];
    this.#askTrust();
    this.refresh();
  }

  /** Everybody in the session, oldest first; of ours as well. */
  get members(): readonly Membership[] {
    return this.#members;
  }

  /** When somebody last left, by the clock of the homeserver where it says so. */
  get lastLeftAt(): number | null {
    return this.#lastLeftAt;
  }

  trustOf({ user, device }: Membership): Trust {
    return this.#trust.get(`${user} ${device}`) ?? 'unknown';
  }

  get ring(): Ring | null {
    return this.#ringing.current(this.options.wallClock(), (user) => this.#members.some((member) => member.user === user));
  }

  outgoing(others: number): OutgoingState {
    return this.#outgoing.state(this.options.wallClock(), others);
  }

  /** How many others of the room could answer. */
  others(): number {
    return Math.max(0, this.options.room.joinedCount - 1);
  }

  get declinedBy(): readonly string[] {
    return this.#outgoing.declinedBy;
  }

  /** Only whoever came first rings. */
  async callOthers(memberEvent: string, intent: string): Promise<void> {
    const now = this.options.wallClock();
    this.#outgoing.sent(await this.options.room.send(NOTIFICATION_TYPE, notificationContent(memberEvent, intent, now)), now);
    this.refresh();
  }

  answered(): void {
    this.#outgoing.answered();
  }

  async decline(): Promise<void> {
    const { ring } = this;
    if (ring) await this.options.room.send(DECLINE_TYPE, declineContent(ring.eventId));
  }

  async setHand(memberEvent: string, up: boolean): Promise<void> {
    const raised = this.reactions.handEvent(memberEvent, this.options.homeserver.user);
    if (up && raised === null) await this.options.room.send(HAND_EVENT, handContent(memberEvent));
    if (!up && raised !== null) await this.options.room.redact(raised);
  }

  async react(memberEvent: string, emoji: string, name: string): Promise<void> {
    await this.options.room.send(REACTION_EVENT, reactionContent(memberEvent, emoji, name));
  }

  refresh(): void {
    const before = this.#members;
    this.#members = this.#read();
    for (const member of changes(before, this.#members).left) this.#lastLeftAt = Math.max(this.#lastLeftAt ?? 0, this.#whenLeft(member));
    this.#schedule();
    if (this.#members.some(({ user, device }) => !before.some((known) => known.user === user && known.device === device))) this.#askTrust();
    this.emit('changed', undefined);
  }

  close(): void {
    for (const stop of this.#stops) stop();
    this.#cancelTimer();
    this.#cancelTrust();
  }

  #whenLeft({ user, device, slot, expiresAt }: Membership): number {
    const { room, wallClock } = this.options;
    const key = stateKey(room.version, user, device, slot);
    const event = room.state(LEGACY_TYPE).find((candidate) => candidate.sender === user && candidate.stateKey === key);
    return Math.min(event?.originServerTs ?? wallClock(), expiresAt);
  }

  #read(): Membership[] {
    const { room, slot, wallClock } = this.options;
    return members(this.#events.of(room), { slot, now: wallClock(), isJoined: (user) => room.isJoined(user), isSlotOpen: isSlotOpen(room, slot) });
  }

  /** Memberships and ringing end by themselves. */
  #schedule(): void {
    this.#cancelTimer();
    const now = this.options.wallClock();
    const ends = [nextExpiry(this.#members), this.ring?.until ?? null].filter((end) => end !== null);
    if (ends.length > 0) this.#cancelTimer = this.options.clock.after(Math.min(Math.max(0, Math.min(...ends) - now) + 1, TIMER_MS_MAX), () => this.refresh());
  }

  #askTrust(): void {
    this.#cancelTrust();
    this.#cancelTrust = this.options.clock.after(TRUST_MS, () => this.#askTrust());
    const asked = this.#members.map(async ({ user, device }) => {
      const trust = await this.options.trust(user, device).catch((): Trust => 'unknown');
      const key = `${user} ${device}`;
      const changed = this.#trust.get(key) !== trust;
      this.#trust.set(key, trust);
      return changed;
    });
    void Promise.all(asked).then((changed) => (changed.includes(true) ? this.emit('changed', undefined) : undefined));
  }
}
