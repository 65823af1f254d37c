// Keys that members give each other themselves (in Matrix: over Olm), one random key per sender and index. The key is the
// SFrame base key, its index is the key id of RFC 9605 §4.3. Nothing is derived from a shared secret, and nothing that the
// focus says can bring a key.

import { Chain, type OpeningKey } from './keys.ts';
import { deriveKey, type Bytes, type SealingKey } from './sframe.ts';

/** Indexes are one byte on the wire, and a sender goes round. */
export const KEY_INDEXES = 256;
/** 16 bytes are what the deployed clients send; MSC4143 asks for 32. */
const KEY_BYTES: readonly number[] = [16, 32];
/** Keys whose replay windows are kept though their owner left: about a day of one member who comes and goes. */
const REMEMBERED = 1024;

export function isMemberKey(index: number, key: Uint8Array): boolean {
  return Number.isInteger(index) && index >= 0 && index < KEY_INDEXES && KEY_BYTES.includes(key.length);
}

function name(index: number, key: Uint8Array): string {
  return `${index}:${String.fromCharCode(...key)}`;
}

/** What we send with. As in `OwnKeys`, everything takes its counter here, whatever connection it goes out on. */
export class OwnMemberKeys {
  readonly #prepared = new Map<number, Bytes>();
  /** A key that was used once must never start to count from 0 again. */
  readonly #used = new Set<string>();
  #key: SealingKey | null = null;
  #counter = 0n;

  prepare(index: number, key: Bytes): void {
    if (!isMemberKey(index, key)) throw new RangeError('a member key has 16 or 32 bytes and an index below 256');
    if (this.#used.has(name(index, key))) throw new RangeError('this key was used before');
    this.#prepared.set(index, key);
  }

  async use(index: number): Promise<void> {
    const key = this.#prepared.get(index);
    if (!key) throw new RangeError('this key was not prepared');
    this.#prepared.delete(index);
    this.#used.add(name(index, key));
    this.#key = await deriveKey(key, BigInt(index));
    this.#counter = 0n;
  }

  take(): { key: SealingKey; ctr: bigint } | null {
    return this.#key && { key: this.#key, ctr: this.#counter++ };
  }
}

/** The keys of everybody else, by the name that the focus must show for their owner. */
export class MemberKeys {
  readonly #owners = new Map<string, Map<number, Promise<Chain>>>();
  /** Windows outlive their owner's stay: else recorded frames could be played to us again after he came back. */
  readonly #known = new Map<string, Promise<Chain>>();

  /** Also replaces a key of the same index: a sender that joined again starts from 0. */
  set(owner: string, index: number, key: Bytes): void {
    if (!isMemberKey(index, key)) return;
    const id = `${owner}\n${name(index, key)}`;
    let chain = this.#known.get(id);
    if (!chain) {
      chain = start(index, key);
      this.#known.set(id, chain);
      const oldest = this.#known.keys().next();
      if (this.#known.size > REMEMBERED && !oldest.done) this.#known.delete(oldest.value);
    }
    const keys = this.#owners.get(owner) ?? new Map<number, Promise<Chain>>();
    keys.set(index, chain);
    this.#owners.set(owner, keys);
  }

  remove(owner: string): void {
    this.#owners.delete(owner);
  }

  async find(owner: string, kid: bigint): Promise<{ opening: OpeningKey; commit: () => OpeningKey } | null> {
    if (kid >= BigInt(KEY_INDEXES)) return null;
    const chain = await this.#owners.get(owner)?.get(Number(kid));
    const opening = await chain?.find(0);
    return chain && opening ? { opening, commit: () => chain.commit(opening) } : null;
  }
}

async function start(index: number, key: Bytes): Promise<Chain> {
  const chain = new Chain(index, 0);
  await chain.start(key);
  return chain;
}
