// Our own keys: when there is a new one, who is told, from when it is used. The same machine as `matrixrtc::keys::Sender`, held to
// it by the golden cases of that crate; only ratchets are not in here.
//
//   we join         key 0, used at once, told to everybody
//   somebody left   a new key for those who stay, used a moment later: who left never holds a key that is used after that
//   somebody came   told the present key or a new one, as the policy says
//   several         those who leave within half the use delay cause one more new key

import type { Clock } from '../clock.ts';
import { KEY_INDEXES } from '../e2ee/member-keys.ts';
import type { MediaKey } from './key-message.ts';
import { FIXED, windowMs, type KeyRules } from './key-policy.ts';
import { again, dueAt, SEND_TIMEOUT_MS, type Share } from './key-share.ts';
import { keyOf, type Membership } from './membership.ts';

/** The key in use and those that are on their way. */
const KEYS_MAX = 4;
export const MEMBERS_MAX = 1024;
/** One member is told again what it says it lacks so often at most. */
export const ASKED_EVERY_MS = 5_000;
/** What all deployed clients send and take. */
const KEY_BYTES = 16;

export interface KeySend {
  /** Comes back with the outcome, see {@link KeyRing.sent}. */
  readonly request: number;
  readonly key: MediaKey;
  readonly to: readonly Membership[];
}

export interface KeyRingOptions {
  readonly clock: Clock;
  readonly rules?: KeyRules;
  readonly newKey?: () => Uint8Array;
  readonly prepare: (key: MediaKey) => void;
  readonly use: (index: number) => void;
  readonly send: (send: KeySend) => void;
}

interface OwnKey extends MediaKey {
  readonly createdAt: number;
  readonly useAt: number;
  readonly shares: Map<string, Share>;
}

export class KeyRing {
  readonly #options: KeyRingOptions;
  readonly #rules: KeyRules;
  #members = new Map<string, Membership>();
  /** Oldest first: the first is in use as soon as its time has come. */
  #keys: OwnKey[] = [];
  #nextIndex = 0;
  #nextRequest = 0;
  #rotatedAt: number | null = null;
  /** The first leave that no rotation has answered yet. */
  #leftAt: number | null = null;
  /** Of the scaled policy: the next rotation, and when another may be. */
  #windowAt: number | null = null;
  #blockedUntil: number | null = null;
  readonly #askedAt = new Map<string, number>();
  #cancelTimer: () => void = () => undefined;
  readonly #cancelUses = new Set<() => void>();

  /** We joined: the first key. */
  constructor(options: KeyRingOptions) {
    this.#options = options;
    this.#rules = options.rules ?? FIXED;
    const now = options.clock.now();
    this.#rotate(now, now);
    this.#blockedUntil = now + this.#jittered();
    this.#drive();
  }

  /** Everybody else who is there now. */
  setMembers(present: readonly Membership[]): void {
    const before = this.#members;
    this.#members = bounded(present, before);
    const left = [...before.keys()].some((key) => !this.#members.has(key));
    // One whose beginning is another has joined anew, and has lost its keys.
    const joined = [...this.#members].filter(([key, { createdAt }]) => before.get(key)?.createdAt !== createdAt).map(([key]) => key);
    for (const { shares } of this.#keys) for (const key of [...shares.keys()]) if (!this.#members.has(key)) shares.delete(key);
    for (const key of [...this.#askedAt.keys()]) if (!this.#members.has(key)) this.#askedAt.delete(key);
    if (left) this.#onLeft();
    if (joined.length > 0) this.#onJoined(joined);
    this.#drive();
  }

  /** Who of those could not be told. They are tried again as long as they are members. */
  sent(request: number, undelivered: readonly Membership[]): void {
    const failed = new Set(undelivered.map(keyOf));
    const now = this.#options.clock.now();
    for (const { shares } of this.#keys) {
      for (const [member, share] of shares) {
        if (share.is === 'sending' && share.request === request) shares.set(member, failed.has(member) ? again(now, share.tries) : { is: 'told' });
      }
    }
    this.#drive();
  }

  /** A member says that it lacks our key: it is told again all that is used now or soon. Not more often than now and then. */
  asked(by: Pick<Membership, 'user' | 'device' | 'memberId'>): void {
    const now = this.#options.clock.now();
    const member = keyOf(by);
    const before = this.#askedAt.get(member);
    if (!this.#members.has(member) || (before !== undefined && now < before + ASKED_EVERY_MS)) return;
    this.#askedAt.set(member, now);
    for (const { shares } of this.#keys) if (shares.get(member)?.is === 'told') shares.set(member, { is: 'due', at: now, tries: 0 });
    this.#drive();
  }

  close(): void {
    this.#cancelTimer();
    for (const cancel of this.#cancelUses) cancel();
    this.#cancelUses.clear();
    this.#keys = [];
  }

  #onLeft(): void {
    const { policy } = this.#rules;
    if (policy.is === 'scaled' && policy.leaves === 'window') this.#plan();
    else this.#leftAt ??= this.#options.clock.now();
  }

  #onJoined(joined: readonly string[]): void {
    const { policy, useDelayMs } = this.#rules;
    const newest = this.#keys.at(-1);
    if (!newest) return;
    const now = this.#options.clock.now();
    if (policy.is === 'scaled') {
      this.#tell(newest, joined);
      this.#plan();
    } else if (newest.useAt <= now && now >= newest.createdAt + policy.graceMs) {
      this.#rotate(now, now + useDelayMs);
    } else {
      // Young, or nothing was encrypted with it yet.
      this.#tell(newest, joined);
    }
  }

  /** One more rotation when the window allows it, if none is planned. */
  #plan(): void {
    if (this.#windowAt !== null) return;
    const now = this.#options.clock.now();
    const at = this.#blockedUntil !== null && now < this.#blockedUntil ? this.#blockedUntil : now + this.#jittered();
    this.#windowAt = this.#blockedUntil = at;
  }

  #tell({ shares }: OwnKey, members: readonly string[]): void {
    for (const member of members) shares.set(member, { is: 'due', at: this.#options.clock.now(), tries: 0 });
  }

  /** A leave waits for the one before, by half of the use delay at most: the other half is left for the way. */
  #leaveRotationAt(): number | null {
    if (this.#leftAt === null) return null;
    return this.#rotatedAt === null ? this.#leftAt : Math.max(this.#leftAt, this.#rotatedAt + this.#rules.useDelayMs / 2);
  }

  #ttlRotationAt(): number | null {
    const { policy, useDelayMs, ttlMs } = this.#rules;
    const newest = this.#keys.at(-1);
    return newest && ttlMs !== null ? newest.createdAt + Math.max(ttlMs, windowMs(policy, this.#size), useDelayMs) : null;
  }

  #rotationsAt(): number[] {
    return [this.#leaveRotationAt(), this.#windowAt, this.#ttlRotationAt()].filter((at) => at !== null);
  }

  #drive(): void {
    const now = this.#options.clock.now();
    const { useDelayMs } = this.#rules;
    if (this.#rotationsAt().some((at) => at <= now)) this.#rotate(now, this.#leftAt === null ? now + useDelayMs : Math.max(this.#leftAt + useDelayMs, now));
    while ((this.#keys[1]?.useAt ?? Infinity) <= now) this.#keys.shift();
    this.#sendDue(now);
    this.#schedule();
  }

  #rotate(now: number, wantedAt: number): void {
    const { clock, newKey, prepare, use } = this.#options;
    const useAt = Math.max(this.#keys.at(-1)?.useAt ?? wantedAt, wantedAt);
    const shares = new Map([...this.#members.keys()].map((member): [string, Share] => [member, { is: 'due', at: now, tries: 0 }]));
    const key: OwnKey = { index: this.#nextIndex, key: newKey?.() ?? crypto.getRandomValues(new Uint8Array(KEY_BYTES)), createdAt: now, useAt, shares };
    this.#keys = [...this.#keys.slice(-(KEYS_MAX - 1)), key];
    this.#nextIndex = (this.#nextIndex + 1) % KEY_INDEXES;
    [this.#leftAt, this.#windowAt, this.#rotatedAt] = [null, null, now];
    this.#blockedUntil = now + windowMs(this.#rules.policy, this.#size);
    prepare({ index: key.index, key: key.key });
    if (useAt <= now) return use(key.index);
    const cancel = clock.after(useAt - now, () => {
      this.#cancelUses.delete(cancel);
      use(key.index);
    });
    this.#cancelUses.add(cancel);
  }

  /** One message per key, for all who are due. */
  #sendDue(now: number): void {
    for (const { index, key, shares } of [...this.#keys]) {
      const request = ++this.#nextRequest;
      const to: Membership[] = [];
      for (const [id, share] of shares) {
        const member = this.#members.get(id);
        const due = dueAt(share, now);
        if (!member || due === null) continue;
        if (due.at > now) shares.set(id, due);
        else {
          shares.set(id, { is: 'sending', request, until: now + SEND_TIMEOUT_MS, tries: due.tries });
          to.push(member);
        }
      }
      if (to.length > 0) this.#options.send({ request, key: { index, key }, to });
    }
  }

  #schedule(): void {
    this.#cancelTimer();
    const shares = this.#keys.flatMap(({ shares }) => [...shares.values()].flatMap((share) => (share.is === 'due' ? share.at : share.is === 'sending' ? share.until : [])));
    const next = this.#keys[1]?.useAt;
    const deadline = Math.min(...this.#rotationsAt(), ...shares, ...(next === undefined ? [] : [next]));
    if (deadline !== Infinity) this.#cancelTimer = this.#options.clock.after(Math.max(0, deadline - this.#options.clock.now()), () => this.#drive());
  }

  /** Members, ourselves included. */
  get #size(): number {
    return this.#members.size + 1;
  }

  /** Members must not rotate all at the same moment: between nothing and twice the window. */
  #jittered(): number {
    return windowMs(this.#rules.policy, this.#size) * this.#options.clock.random() * 2;
  }
}

/** Those who were there already come first: they must not lose their place to one who comes. */
function bounded(present: readonly Membership[], known: ReadonlyMap<string, Membership>): Map<string, Membership> {
  const named = present.map((member): [string, Membership] => [keyOf(member), member]);
  const ordered = [...named.filter(([key]) => known.has(key)), ...named.filter(([key]) => !known.has(key))];
  return new Map(ordered.slice(0, MEMBERS_MAX));
}
