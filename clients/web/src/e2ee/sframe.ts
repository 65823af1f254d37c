// RFC 9605 for one cipher suite, AES_128_GCM_SHA256_128: key derivation (§4.4.2), sealing (§4.4.3), opening (§4.4.4)
// and the ratchet of §5.1. Nothing here knows of codecs, participants or workers.

import { encodeHeader } from './header.ts';

export type Bytes = Uint8Array<ArrayBuffer>;

export const CIPHER_SUITE = 4;
/** Length of the authentication tag, `Nt`. */
export const TAG_BYTES = 16;
const KEY_BYTES = 16;
const NONCE_BYTES = 12;
const HASH_BYTES = 32;
const NO_BYTES: Bytes = new Uint8Array(0);

/** What one key id seals with. */
export interface SealingKey {
  readonly kid: bigint;
  readonly key: CryptoKey;
  readonly salt: Bytes;
}

export function utf8(text: string): Bytes {
  return new TextEncoder().encode(text) as Bytes;
}

export function concat(...parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** HKDF-SHA256, extract and expand in one. */
export async function hkdf(secret: Bytes, salt: Bytes, info: Bytes, length: number): Promise<Bytes> {
  const key = await crypto.subtle.importKey('raw', secret, 'HKDF', false, ['deriveBits']);
  return new Uint8Array(await crypto.subtle.deriveBits({ name: 'HKDF', hash: 'SHA-256', salt, info }, key, length * 8));
}

function label(text: string, kid: bigint): Bytes {
  const numbers = new DataView(new ArrayBuffer(10));
  numbers.setBigUint64(0, kid);
  numbers.setUint16(8, CIPHER_SUITE);
  return concat(utf8(text), new Uint8Array(numbers.buffer));
}

/** The raw key and salt of a key id; `deriveKey` is what one uses, this is what the test vectors show. */
export async function deriveRaw(baseKey: Bytes, kid: bigint): Promise<{ key: Bytes; salt: Bytes }> {
  return {
    key: await hkdf(baseKey, NO_BYTES, label('SFrame 1.0 Secret key ', kid), KEY_BYTES),
    salt: await hkdf(baseKey, NO_BYTES, label('SFrame 1.0 Secret salt ', kid), NONCE_BYTES),
  };
}

export async function deriveKey(baseKey: Bytes, kid: bigint): Promise<SealingKey> {
  const { key, salt } = await deriveRaw(baseKey, kid);
  return { kid, salt, key: await crypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt', 'decrypt']) };
}

/** The base key of the next ratchet step (§5.1). It tells nothing about the one before. */
export function ratchet(baseKey: Bytes): Promise<Bytes> {
  return hkdf(baseKey, NO_BYTES, utf8('SFrame 1.0 Ratchet'), HASH_BYTES);
}

/** The salt with the counter XORed into its end. */
export function nonce(salt: Bytes, ctr: bigint): Bytes {
  const result = salt.slice();
  const view = new DataView(result.buffer);
  const at = NONCE_BYTES - 8;
  view.setBigUint64(at, view.getBigUint64(at) ^ ctr);
  return result;
}

/** An SFrame ciphertext: header, encrypted payload, tag. */
export async function seal(key: SealingKey, ctr: bigint, metadata: Uint8Array, plaintext: Bytes): Promise<Bytes> {
  const header = encodeHeader(key.kid, ctr);
  const additionalData = concat(header, metadata);
  const iv = nonce(key.salt, ctr);
  const body = await crypto.subtle.encrypt({ name: 'AES-GCM', iv, additionalData, tagLength: TAG_BYTES * 8 }, key.key, plaintext);
  return concat(header, new Uint8Array(body));
}

/** `null` when the tag does not fit: another key, or changed bytes. `header` is the parsed start of `ciphertext`. */
export async function open(
  key: SealingKey,
  header: { readonly ctr: bigint; readonly length: number },
  metadata: Uint8Array,
  ciphertext: Bytes,
): Promise<Bytes | null> {
  const body = ciphertext.subarray(header.length);
  if (body.length < TAG_BYTES) return null;
  const additionalData = concat(ciphertext.subarray(0, header.length), metadata);
  const iv = nonce(key.salt, header.ctr);
  try {
    return new Uint8Array(
      await crypto.subtle.decrypt({ name: 'AES-GCM', iv, additionalData, tagLength: TAG_BYTES * 8 }, key.key, body),
    );
  } catch {
    return null;
  }
}
