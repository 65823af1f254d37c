// The keys of one session's frames, wherever they come from: a secret that all share, with keys that are announced and rotated here, or
// the members, who rotate their own.

import type { CallOptions } from './call-types.ts';
import type { Clock } from './clock.ts';
import { EncryptionClient } from './e2ee/client.ts';
import { canEncrypt, type FrameEncryption } from './e2ee/link.ts';
import { Rotation } from './rotation.ts';
import type { ClientBody, KeySalt } from './wire.ts';

const DEFAULT_KEY_USE_DELAY_MS = 1000;

export interface SessionKeysOptions {
  readonly call: Pick<CallOptions, 'members' | 'secret' | 'worker' | 'ratchetBits' | 'keyUseDelayMs'>;
  readonly clock: Clock;
  readonly announce: (body: ClientBody<'announce'>) => void;
}

export class SessionKeys {
  readonly #options: SessionKeysOptions;
  /** `null`: this browser cannot transform frames. */
  readonly encryption: FrameEncryption | null;
  /** The same when the keys come from a shared secret. */
  readonly #shared: EncryptionClient | null = null;
  readonly #rotation: Rotation | null = null;
  readonly #stopMembers: (() => void) | null = null;

  constructor(options: SessionKeysOptions) {
    this.#options = options;
    const { members, secret, worker, ratchetBits } = options.call;
    if (members) {
      this.encryption = members.connection();
      this.#stopMembers = members.on('key-in-use', () => this.announce());
    } else {
      this.encryption = this.#shared = canEncrypt() ? new EncryptionClient(worker(), secret || null, ratchetBits ?? 0) : null;
      this.#rotation = this.#shared && secret ? this.#rotating(this.#shared) : null;
    }
  }

  /** Members have keys of their own, and are found by their identity. */
  get ofMembers(): boolean {
    return this.#options.call.members !== undefined;
  }

  /** `null`: we send unencrypted. */
  get keyIndex(): number | null {
    return this.#options.call.members?.keyIndex ?? this.#rotation?.keyIndex ?? null;
  }

  /** Member keys go to the members; the focus hears only which one is in use. */
  announce(): void {
    const { call, announce } = this.#options;
    if (call.members) announce({ keys: [], key_index: call.members.keyIndex });
    else this.#rotation?.announce();
  }

  rotate(): void {
    this.#rotation?.rotate();
  }

  ratchet(): void {
    this.#shared?.ratchet();
  }

  setPeer(participant: string, keys: readonly KeySalt[]): void {
    this.#shared?.setPeerKeys(participant, keys);
  }

  removePeer(participant: string): void {
    this.#shared?.removePeer(participant);
  }

  close(): void {
    this.#rotation?.close();
    this.#stopMembers?.();
    this.encryption?.close();
  }

  #rotating(encryption: EncryptionClient): Rotation {
    const { call, clock, announce } = this.#options;
    const rotation = new Rotation({
      clock,
      useDelayMs: call.keyUseDelayMs ?? DEFAULT_KEY_USE_DELAY_MS,
      newKey: () => encryption.newKey(),
      announced: () => encryption.announced(),
      useKey: (index) => encryption.useKey(index),
      announce: (keys, key_index) => announce({ keys, key_index }),
    });
    encryption.on('key-in-use', ({ index }) => rotation.inUse(index));
    return rotation;
  }
}
