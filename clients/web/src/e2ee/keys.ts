// Keys of the senders of a call. One shared secret, one key per sender: a sender draws a random salt and announces it, and
//
//   base key = HKDF-SHA256(secret, salt, "rust-sfu sframe base key", 32 bytes)
//
// so a join (or a rotation) never meets a key that was used before, and counters can start from 0 again.
// The key id of RFC 9605 §5.1 is (index << R) + (ratchet step mod 2^R), with R = 0 unless the application wants ratcheting.
// A receiver starts at step 0 of a key and follows by the low bits alone, so whoever ratchets rotates for each newcomer.

import type { KeySalt } from '../wire.ts';
import { ReplayWindow } from './replay.ts';
import { deriveKey, hkdf, ratchet, utf8, type Bytes, type SealingKey } from './sframe.ts';

const SALT_BYTES = 16;
/** Keys that an announcement may hold. */
export const MAX_KEYS = 16;
/** More would only make it dearer to find out that a frame was forged. */
const MAX_RATCHET_BITS = 6;

export function decodeSalt(text: string): Bytes {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  const salt = Uint8Array.from(binary, (char) => char.charCodeAt(0));
  if (salt.length !== SALT_BYTES) throw new RangeError('a key salt has 16 bytes');
  return salt;
}

export function encodeBase64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

export function newSalt(): string {
  return encodeBase64Url(crypto.getRandomValues(new Uint8Array(SALT_BYTES)));
}

export function deriveBaseKey(secret: Bytes, salt: Bytes): Promise<Bytes> {
  return hkdf(secret, salt, utf8('rust-sfu sframe base key'), 32);
}

function kidOf(index: number, step: number, ratchetBits: number): bigint {
  const bits = BigInt(ratchetBits);
  return (BigInt(index) << bits) + (BigInt(step) & ((1n << bits) - 1n));
}

function checkRatchetBits(bits: number): number {
  if (!Number.isInteger(bits) || bits < 0 || bits > MAX_RATCHET_BITS) throw new RangeError(`0 to ${MAX_RATCHET_BITS} ratchet bits`);
  return bits;
}

/**
 * What we send with. Everything that this participant sends (all tracks, all simulcast layers) takes its counter here,
 * so no pair of key and counter is used twice; that is why one worker handles all transforms of a call.
 */
export class OwnKeys {
  readonly #secret: Bytes;
  readonly #ratchetBits: number;
  readonly #prepared = new Map<number, Bytes>();
  #index = -1;
  #step = 0;
  #baseKey: Bytes | null = null;
  #key: SealingKey | null = null;
  #counter = 0n;

  constructor(secret: Bytes, ratchetBits = 0) {
    this.#secret = secret;
    this.#ratchetBits = checkRatchetBits(ratchetBits);
  }

  /** Index of the key in use; -1 before the first. */
  get index(): number {
    return this.#index;
  }

  /** Makes a key ready, so that it can be announced before it is used. */
  async prepare(index: number, salt: string): Promise<void> {
    if (index <= this.#index) throw new RangeError('key indexes only grow');
    this.#prepared.set(index, await deriveBaseKey(this.#secret, decodeSalt(salt)));
  }

  /** Sends with a prepared key from now on. */
  async use(index: number): Promise<void> {
    const baseKey = this.#prepared.get(index);
    if (!baseKey) throw new RangeError('this key was not prepared');
    const key = await deriveKey(baseKey, kidOf(index, 0, this.#ratchetBits));
    // A later `use` may have overtaken this one while the key was derived.
    if (index <= this.#index) return;
    for (const older of [...this.#prepared.keys()]) if (older <= index) this.#prepared.delete(older);
    this.#switch(index, 0, baseKey, key);
  }

  /** Replaces the key by the next ratchet step. What was sent before cannot be opened with what is kept now. */
  async ratchet(): Promise<void> {
    if (this.#ratchetBits === 0 || !this.#baseKey) throw new RangeError('ratcheting is not set up');
    const [index, step] = [this.#index, this.#step + 1];
    const next = await ratchet(this.#baseKey);
    const key = await deriveKey(next, kidOf(index, step, this.#ratchetBits));
    if (index !== this.#index || step !== this.#step + 1) return;
    this.#switch(index, step, next, key);
  }

  /** The key and a counter that nobody else gets; `null` before the first key. */
  take(): { key: SealingKey; ctr: bigint } | null {
    return this.#key && { key: this.#key, ctr: this.#counter++ };
  }

  #switch(index: number, step: number, baseKey: Bytes, key: SealingKey): void {
    this.#index = index;
    this.#step = step;
    this.#baseKey = baseKey;
    this.#key = key;
    this.#counter = 0n;
  }
}

/** A key that a received frame may be opened with. */
export interface OpeningKey {
  readonly key: SealingKey;
  readonly replay: ReplayWindow;
  readonly step: number;
  readonly baseKey: Bytes;
}

/** The ratchet steps of one key of a sender. */
export class Chain {
  readonly #index: number;
  readonly #ratchetBits: number;
  readonly #steps = new Map<number, OpeningKey>();
  #newest = 0;

  constructor(index: number, ratchetBits: number) {
    this.#index = index;
    this.#ratchetBits = ratchetBits;
  }

  async start(baseKey: Bytes): Promise<void> {
    this.#steps.set(0, await this.#opening(0, baseKey));
  }

  /**
   * Only the low bits of the step are sent. Half of their range is taken to lie ahead of the newest step that was
   * authenticated, the other half behind it: reordered frames of keys that we still hold.
   */
  async find(low: number): Promise<OpeningKey | null> {
    const range = 1 << this.#ratchetBits;
    const ahead = (((low - this.#newest) % range) + range) % range;
    if (ahead > range / 2) return this.#steps.get(this.#newest - (range - ahead)) ?? null;
    let found = this.#steps.get(this.#newest) ?? null;
    for (let i = 0; found && i < ahead; i++) found = await this.#opening(found.step + 1, await ratchet(found.baseKey));
    return found;
  }

  /** A frame was authenticated with this key: the sender has really ratcheted so far. */
  commit(opening: OpeningKey): OpeningKey {
    const known = this.#steps.get(opening.step);
    if (known) return known;
    this.#steps.set(opening.step, opening);
    this.#newest = Math.max(this.#newest, opening.step);
    const oldest = this.#newest - (1 << this.#ratchetBits) / 2;
    for (const step of [...this.#steps.keys()]) if (step < this.#newest && step <= oldest) this.#steps.delete(step);
    return opening;
  }

  async #opening(step: number, baseKey: Bytes): Promise<OpeningKey> {
    const key = await deriveKey(baseKey, kidOf(this.#index, step, this.#ratchetBits));
    return { key, replay: new ReplayWindow(), step, baseKey };
  }
}

/** The announced keys of everybody else. */
export class PeerKeys {
  readonly #secret: Bytes;
  readonly #ratchetBits: number;
  readonly #chains = new Map<string, Map<number, { salt: string; chain: Promise<Chain> }>>();
  /**
   * Salts that were announced. Each is taken once, also after its owner dropped it or left: else a focus could bring an old
   * key back with an empty replay window and play recorded frames, or show one participant's frames as another's.
   */
  readonly #seen = new Set<string>();

  constructor(secret: Bytes, ratchetBits = 0) {
    this.#secret = secret;
    this.#ratchetBits = checkRatchetBits(ratchetBits);
  }

  /** Takes over what a participant announces: keys that are not in the list any more are forgotten. */
  set(participant: string, keys: readonly KeySalt[]): void {
    const before = this.#chains.get(participant) ?? new Map<number, { salt: string; chain: Promise<Chain> }>();
    const after = new Map<number, { salt: string; chain: Promise<Chain> }>();
    for (const { index, salt } of keys.slice(-MAX_KEYS)) {
      const known = before.get(index);
      if (known?.salt === salt) {
        after.set(index, known);
        continue;
      }
      if (this.#seen.has(salt)) continue;
      let bytes: Bytes;
      try {
        bytes = decodeSalt(salt);
      } catch {
        continue;
      }
      this.#seen.add(salt);
      after.set(index, { salt, chain: this.#start(index, bytes) });
    }
    this.#chains.set(participant, after);
  }

  remove(participant: string): void {
    this.#chains.delete(participant);
  }

  /** The key for a frame of this participant; `null`: none with this id was announced. */
  async find(participant: string, kid: bigint): Promise<{ opening: OpeningKey; commit: () => OpeningKey } | null> {
    const bits = BigInt(this.#ratchetBits);
    const chain = await this.#chains.get(participant)?.get(Number(kid >> bits))?.chain;
    const opening = await chain?.find(Number(kid & ((1n << bits) - 1n)));
    return chain && opening ? { opening, commit: () => chain.commit(opening) } : null;
  }

  async #start(index: number, salt: Bytes): Promise<Chain> {
    const chain = new Chain(index, this.#ratchetBits);
    await chain.start(await deriveBaseKey(this.#secret, salt));
    return chain;
  }
}
