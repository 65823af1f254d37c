// The keys of the others, as they come: bound to the member that sent them, kept for members that we do not know of yet, and
// never replaced by an older one of the same index.

import { participantIdentity } from './identity.ts';
import type { ReceivedKey } from './key-message.ts';
import { keyOf, type Membership } from './membership.ts';

/** Keys may be here before the member's event. Of as many members as a session has, the newest of each index. */
const WAITING_MAX = 256;
const KEYS_OF_MEMBER_MAX = 256;

export interface KeyBoxOptions {
  readonly set: (identity: string, index: number, key: Uint8Array) => void;
  readonly remove: (identity: string) => void;
}

type Keys = Map<number, ReceivedKey>;

export class KeyBox {
  readonly #options: KeyBoxOptions;
  readonly #keys = new Map<string, Keys>();
  readonly #identities = new Map<string, string>();

  constructor(options: KeyBoxOptions) {
    this.#options = options;
  }

  /** Of a message that Olm proved to come from this user and device. */
  add(key: ReceivedKey): void {
    const owner = keyOf(key);
    const keys: Keys = this.#keys.get(owner) ?? new Map<number, ReceivedKey>();
    const before = keys.get(key.index);
    if (before && before.sentTs > key.sentTs) return;
    keys.set(key.index, key);
    // The newest owner last: of those that wait for their member, the oldest is forgotten first.
    this.#keys.delete(owner);
    this.#keys.set(owner, keys);
    if (keys.size > KEYS_OF_MEMBER_MAX) return;
    const identity = this.#identities.get(owner);
    if (identity !== undefined) this.#options.set(identity, key.index, key.key);
    else this.#forgetOldest();
  }

  /** Everybody else who is there now. Nothing of those who left is to be opened any more. */
  async setMembers(present: readonly Membership[]): Promise<void> {
    const named = await Promise.all(present.map(async (member) => [keyOf(member), await participantIdentity(member.user, member.memberId)] as const));
    const now = new Map(named);
    for (const [owner, identity] of this.#identities) {
      if (now.has(owner)) continue;
      this.#identities.delete(owner);
      this.#options.remove(identity);
      // Kept a while, among those who wait: one whose event was only lost comes back under the same key.
      this.#forgetOldest();
    }
    for (const [owner, identity] of now) {
      if (this.#identities.has(owner)) continue;
      this.#identities.set(owner, identity);
      for (const { index, key } of this.#keys.get(owner)?.values() ?? []) this.#options.set(identity, index, key);
    }
  }

  has(member: Membership): boolean {
    return this.#keys.has(keyOf(member));
  }

  #forgetOldest(): void {
    const waiting = [...this.#keys.keys()].filter((owner) => !this.#identities.has(owner));
    for (const owner of waiting.slice(0, Math.max(0, waiting.length - WAITING_MAX))) this.#keys.delete(owner);
  }
}
