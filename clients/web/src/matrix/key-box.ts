// The keys of the others: whose they are, and which are refused. The same machine as `matrixrtc::keys::Receiver`, held to it by the
// golden cases of that crate. What came in clear is dropped before it gets here.

import type { Clock } from '../clock.ts';
import type { KeyMessage } from './key-message.ts';
import { MEMBERS_MAX } from './key-ring.ts';
import type { Membership } from './membership.ts';

/** Devices whose keys are kept though they are no members: their key was faster than their event, or they come back. */
export const STRANGERS_MAX = 256;
export const STRANGER_MS = 60_000;
/** It has one in use and two on their way, so that these reach back many rotations. */
export const KEYS_PER_DEVICE_MAX = 16;

export type KeyRefusal = 'other_room' | 'other_session' | 'foreign_device' | 'foreign_member' | 'outdated' | 'own';

/** A member, and the identity that a focus must show for it. */
export type Owner = Pick<Membership, 'user' | 'device' | 'memberId'> & { readonly identity: string };

export interface KeyBoxOptions {
  readonly clock: Clock;
  readonly room: string;
  readonly slot: string;
  readonly own: { readonly user: string; readonly device: string };
  readonly set: (identity: string, index: number, key: Uint8Array) => void;
  readonly remove: (identity: string) => void;
}

interface Held {
  readonly key: Uint8Array;
  readonly claimed: string | null;
  readonly sentAt: number | null;
}

interface Device {
  /** The one that came last is the last. */
  readonly keys: Map<number, Held>;
  /** As members; empty for a stranger. */
  members: readonly Owner[];
  heardAt: number;
}

export class KeyBox {
  readonly #options: KeyBoxOptions;
  readonly #devices = new Map<string, Device>();

  constructor(options: KeyBoxOptions) {
    this.#options = options;
  }

  /** Of a message that Olm proved to come from this user and device. Says why it is not taken. */
  add(user: string, device: string, { room, memberId, device: claimedDevice, slot, index, key, sentAt }: KeyMessage): KeyRefusal | null {
    const { own, clock } = this.#options;
    if (room !== this.#options.room) return 'other_room';
    if (slot !== null && slot !== this.#options.slot) return 'other_session';
    if (claimedDevice !== null && claimedDevice !== device) return 'foreign_device';
    if (user === own.user && device === own.device) return 'own';
    const id = deviceOf({ user, device });
    if (!this.#mayClaim(id, memberId)) return 'foreign_member';
    const sender = this.#devices.get(id) ?? { keys: new Map<number, Held>(), members: [], heardAt: 0 };
    const before = sender.keys.get(index)?.sentAt ?? null;
    if (before !== null && sentAt !== null && sentAt < before) return 'outdated';
    this.#devices.set(id, sender);
    sender.heardAt = clock.now();
    sender.keys.delete(index);
    sender.keys.set(index, { key, claimed: memberId, sentAt });
    for (const member of sender.members) if (isOwnClaim(member, memberId)) this.#options.set(member.identity, index, key);
    const [oldest] = sender.keys.keys();
    if (sender.keys.size > KEYS_PER_DEVICE_MAX && oldest !== undefined) sender.keys.delete(oldest);
    this.#forget();
    return null;
  }

  /** Everybody who is there now. Nothing of those who left is to be opened any more; keys that were faster than their member are given out. */
  setMembers(present: readonly Owner[]): void {
    const { own, clock, set, remove } = this.#options;
    this.#forget();
    const after = new Map<string, Owner[]>();
    for (const member of present) {
      const id = deviceOf(member);
      if (id === deviceOf(own) || (after.size >= MEMBERS_MAX && !after.has(id))) continue;
      after.set(id, [...(after.get(id) ?? []), member]);
    }
    for (const [id, device] of this.#devices) {
      const before = device.members;
      const now = after.get(id) ?? [];
      after.delete(id);
      for (const member of before) if (!isAmong(member, now)) remove(member.identity);
      if (now.length === 0 && before.length > 0) device.heardAt = clock.now();
      device.members = now;
      for (const member of now) {
        if (isAmong(member, before)) continue;
        for (const [index, { key, claimed }] of device.keys) if (isOwnClaim(member, claimed)) set(member.identity, index, key);
      }
    }
    for (const [id, members] of after) this.#devices.set(id, { keys: new Map(), members, heardAt: clock.now() });
    this.#forget();
  }

  /** Whether we hold any key of this device: the member's frames may be under another one. */
  has(member: { readonly user: string; readonly device: string }): boolean {
    return (this.#devices.get(deviceOf(member))?.keys.size ?? 0) > 0;
  }

  /** The member id in a message is its sender's own, or nobody's yet. */
  #mayClaim(id: string, claimed: string | null): boolean {
    if (claimed === null) return true;
    const own = this.#devices.get(id)?.members ?? [];
    if (own.some((member) => isOwnClaim(member, claimed))) return true;
    const isOthers = [...this.#devices].some(([other, { members }]) => other !== id && members.some((member) => isOwnClaim(member, claimed)));
    // A member that has just rejoined may be ahead of its own event; somebody else's id never is.
    return !isOthers && (own.length === 0 || !claimed.startsWith('@'));
  }

  #forget(): void {
    const now = this.#options.clock.now();
    const strangers = [...this.#devices].filter(([, { members }]) => members.length === 0).sort(([, one], [, other]) => one.heardAt - other.heardAt);
    const beyond = strangers.length - STRANGERS_MAX;
    strangers.forEach(([id, { heardAt }], at) => (at < beyond || heardAt + STRANGER_MS <= now ? this.#devices.delete(id) : undefined));
  }
}

function deviceOf({ user, device }: { readonly user: string; readonly device: string }): string {
  return JSON.stringify([user, device]);
}

function isAmong(member: Owner, members: readonly Owner[]): boolean {
  return members.some(({ memberId }) => memberId === member.memberId);
}

/** Deployed clients name themselves `user:device` whatever their member id is; what names nobody is its sender's. */
function isOwnClaim({ user, device, memberId }: Owner, claimed: string | null): boolean {
  return claimed === null || claimed === memberId || claimed === `${user}:${device}`;
}
