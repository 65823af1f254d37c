// The session of one room as somebody sees it who is in the room, whether or not in the call: its members, what rings, raised
// hands, reactions, and the lines of its history.

import type { Clock } from '../clock.ts';
import { Emitter } from '../emitter.ts';
import { History } from './history.ts';
import type { Homeserver, Room, Trust } from './homeserver.ts';
import { stateKey } from './legacy-member.ts';
import { LEGACY_TYPE, STICKY_TYPES, type Membership } from './membership.ts';
import { HAND_EVENT, handContent, Reactions, REACTION_EVENT, reactionContent, type Reaction } from './reactions.ts';
import { DECLINE_TYPE, declineContent, LIFETIME_MS, NOTIFICATION_TYPE, notificationContent, type Notification } from './notification.ts';
import { Incoming, Outgoing, type Outcome } from './ringing.ts';
import { changes, isSlotOpen, MemberEvents, members, nextExpiry } from './session.ts';

export type OutgoingState = 'none' | 'ringing' | Outcome;

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
  /** It may be another for somebody. */
  readonly onTrust: (listener: () => void) => () => void;
}

/** Trust is asked again this often, lest a change be missed: a verification changes no event. */
const TRUST_MS = 15_000;
/** `setTimeout` takes no more than 31 bits. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export class RoomSession extends Emitter<RoomSessionEvents> {
  readonly options: RoomSessionOptions;
  readonly history: History;
  readonly reactions = new Reactions();
  readonly #incoming: Incoming;
  #outgoing: Outgoing | null = null;
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
    this.history = new History(options.slot);
    this.#incoming = new Incoming({ me: homeserver.user, slot: options.slot, wallClock: options.wallClock });
    this.#members = this.#read();
    this.#stops = [
      room.onChange(() => this.refresh()),
      room.onTimeline((event) => {
        const lines = this.history.handle(event);
        this.#incoming.handle(event);
        this.#outgoing?.handle(event);
        const reaction = this.reactions.handle(event, this.#members, options.wallClock());
        if (reaction) this.emit('reaction', reaction);
        if (lines || !reaction) this.refresh();
      }),
      room.onRedaction((eventId, at) => {
        this.reactions.redacted(eventId);
        this.#incoming.redacted(eventId);
        this.history.redacted(eventId, at);
        this.emit('changed', undefined);
      }),
    ];
    this.#stops.push(options.onTrust(() => this.#askTrust()));
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

  /** What rings now. */
  get ring(): Notification | null {
    return this.#incoming.ringing;
  }

  /** What has become of our own ringing. */
  get outgoing(): OutgoingState {
    return this.#outgoing ? (this.#outgoing.outcome ?? 'ringing') : 'none';
  }

  /** Only whoever came first rings. */
  async callOthers(memberEvent: string, intent: string): Promise<void> {
    const { room, homeserver, wallClock } = this.options;
    const notification = await room.send(NOTIFICATION_TYPE, notificationContent(memberEvent, intent, wallClock()));
    this.#outgoing = new Outgoing({ me: homeserver.user, notification, callees: room.joinedUsers(), lifetimeMs: LIFETIME_MS, wallClock });
    this.refresh();
  }

  async decline(): Promise<void> {
    const declined = this.#incoming.decline();
    this.emit('changed', undefined);
    if (declined !== null) await this.options.room.send(DECLINE_TYPE, declineContent(declined));
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
    this.#ringOn();
    this.#schedule();
    if (this.#members.some(({ user, device }) => !before.some((known) => known.user === user && known.device === device))) this.#askTrust();
    this.emit('changed', undefined);
  }

  close(): void {
    for (const stop of this.#stops) stop();
    this.#cancelTimer();
    this.#cancelTrust();
  }

  #whenLeft({ user, device, memberId, slot, form, expiresAt }: Membership): number {
    const { room, wallClock } = this.options;
    const key = stateKey(room.version, user, device, slot);
    const event =
      form === 'legacy'
        ? room.state(LEGACY_TYPE).find((candidate) => candidate.sender === user && candidate.stateKey === key)
        : STICKY_TYPES.flatMap((type) => room.sticky(type)).find(({ sender, content }) => sender === user && (content['sticky_key'] ?? content['msc4354_sticky_key']) === memberId);
    return Math.min(event?.originServerTs ?? wallClock(), expiresAt);
  }

  #read(): Membership[] {
    const { room, slot, wallClock } = this.options;
    return members(this.#events.of(room), { slot, now: wallClock(), isJoined: (user) => room.isJoined(user), isSlotOpen: isSlotOpen(room, slot) });
  }

  #ringOn(): void {
    const users = this.#members.map(({ user }) => user);
    this.#incoming.setMembers(users);
    this.#incoming.timeout();
    this.#outgoing?.setMembers(users);
    this.#outgoing?.timeout();
  }

  /** Memberships and ringing end by themselves. */
  #schedule(): void {
    this.#cancelTimer();
    const now = this.options.wallClock();
    const ends = [nextExpiry(this.#members), this.ring?.until ?? null, this.#outgoing?.outcome === null ? this.#outgoing.until : null].filter((end) => end !== null);
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
